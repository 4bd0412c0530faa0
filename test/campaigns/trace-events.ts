// Out of a system-call trace with all strings in hexadecimal (strace -xx): what an audit looks at.
import type { TracedCall } from '../crash/strace.js';

/** When a call was entered and when it had returned: positions in the trace, smaller is earlier. */
interface When {
  readonly begin: number;
  readonly end: number;
}

/** One call that did something; calls that failed are left out, flushes aside. */
export type TraceEvent = When &
  (
    | {
        readonly kind: 'open';
        readonly fd: number;
        /** The descriptor that `name` is relative to; undefined: the working directory, or none. */
        readonly directory: number | undefined;
        readonly name: string;
        readonly creates: boolean;
      }
    | { readonly kind: 'close'; readonly fd: number }
    | {
        readonly kind: 'write';
        readonly fd: number;
        readonly offset: number;
        /** What the trace shows of them: fewer than `count` where it was cut. */
        readonly bytes: Buffer;
        readonly count: number;
      }
    | { readonly kind: 'flush'; readonly fd: number; readonly succeeded: boolean }
    | {
        readonly kind: 'rename';
        readonly directory: number | undefined;
        readonly from: string;
        readonly to: string;
      }
    | { readonly kind: 'accept'; readonly fd: number }
    | { readonly kind: 'receive' | 'send'; readonly fd: number; readonly bytes: Buffer }
  );

/** The calls to be traced for this. */
export const auditedCalls =
  'openat,close,pwrite64,fdatasync,fsync,renameat,renameat2,rename,accept4,recvfrom,sendto,sendmsg';

const literal = /"((?:\\x[0-9a-f]{2})*)"/g;

/** The string literals of a call's arguments. */
function stringsIn(args: string): Buffer[] {
  return [...args.matchAll(literal)].map(([, hex]) =>
    Buffer.from(hex!.replaceAll('\\x', ''), 'hex'),
  );
}

/** `undefined` for AT_FDCWD. */
function descriptor(text: string | undefined): number | undefined {
  return text === undefined || !/^\d+$/.test(text.trim()) ? undefined : Number(text);
}

/** What the calls of a process did, in the order in which they returned. */
export function eventsOf(calls: readonly TracedCall[]): TraceEvent[] {
  return calls.flatMap((call) => {
    const event = eventOf(call);
    return event === undefined ? [] : [event];
  });
}

function eventOf({ name, args, result, begin, end }: TracedCall): TraceEvent | undefined {
  const when = { begin, end };
  const returned = Number(/^-?\d+/.exec(result)?.[0] ?? NaN);
  const fd = Number(/^\d+/.exec(args)?.[0] ?? NaN);
  // A result that the tracer made up stands for a call that never happened.
  const happened = returned >= 0 && !result.includes('INJECTED');
  if (name === 'fdatasync' || name === 'fsync') {
    return { kind: 'flush', ...when, fd, succeeded: happened };
  }
  if (!happened) return undefined;
  switch (name) {
    case 'openat': {
      const [path] = stringsIn(args);
      if (path === undefined) return undefined;
      const directory = descriptor(args.slice(0, args.indexOf(',')));
      const creates = args.includes('O_CREAT');
      return { kind: 'open', ...when, fd: returned, directory, name: path.toString(), creates };
    }
    case 'close':
      return { kind: 'close', ...when, fd };
    case 'pwrite64': {
      const [bytes = Buffer.alloc(0)] = stringsIn(args);
      const offset = Number(/, (\d+)$/.exec(args)?.[1]);
      return {
        kind: 'write',
        ...when,
        fd,
        offset,
        bytes: bytes.subarray(0, returned),
        count: returned,
      };
    }
    case 'rename':
    case 'renameat':
    case 'renameat2': {
      const [from, to] = stringsIn(args);
      if (from === undefined || to === undefined) return undefined;
      const directory =
        name === 'rename' ? undefined : descriptor(args.slice(0, args.indexOf(',')));
      return { kind: 'rename', ...when, directory, from: from.toString(), to: to.toString() };
    }
    case 'accept4':
      return { kind: 'accept', ...when, fd: returned };
    case 'recvfrom':
      if (returned === 0 || args.includes('MSG_PEEK')) return undefined;
      return { kind: 'receive', ...when, fd, bytes: stringsIn(args)[0] ?? Buffer.alloc(0) };
    case 'sendto':
    case 'sendmsg':
      return {
        kind: 'send',
        ...when,
        fd,
        bytes: Buffer.concat(stringsIn(args)).subarray(0, returned),
      };
    default:
      return undefined;
  }
}
