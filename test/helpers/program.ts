// The program `espora` as a process of its own, for tests.
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { RunningProgram } from '#espora/lab/program.js';
import type { Ended } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';

const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

/** How a process is started. */
export interface ProgramOptions {
  /** Added to the environment of the test, out of which everything of espora's was taken. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** A descriptor for its lines, which then nobody reads here. */
  readonly stdout?: number;
  /** Descriptors of the test that it gets as its own, from 3 on. */
  readonly descriptors?: readonly number[];
  /** Its input stays open for `type`. */
  readonly keepInput?: boolean;
}

/** A line of JSON that a program printed with --json. */
export type EventLine = { readonly event: string } & Readonly<Record<string, unknown>>;

const ours = /^(ESPORA_(?!ADDON$).*|PORT|UNIX_SOCKET|UPSTREAMS|DB|LISTEN_FDS)$/;

/** The environment of the test without anything that is an option of espora. */
export function cleanEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !ours.test(entry[0]),
    ),
  );
}

/** A running process and what it printed so far. Killed when the test ends. */
export class Program extends RunningProgram {
  constructor(
    t: ExecutionContext<unknown>,
    file: string,
    args: readonly string[],
    options: ProgramOptions,
  ) {
    super(file, args, {
      env: { ...cleanEnvironment(), ...options.environment },
      stdio: ['pipe', options.stdout ?? 'pipe', 'pipe', ...(options.descriptors ?? [])],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const { stdin } = this.child;
    // Whoever does not read its input may be gone before we close it.
    stdin!.on('error', () => undefined);
    if (options.keepInput !== true) stdin!.end();
    t.teardown(async () => {
      this.child.kill('SIGKILL');
      await this.ended.catch(() => undefined);
    });
  }

  /** The events that it printed so far; only for programs that were started with --json. */
  get events(): readonly EventLine[] {
    return this.lines.map((line) => JSON.parse(line) as EventLine);
  }

  /** The first event that matches; throws if the process ends without one. */
  event(name: string, matches: (event: EventLine) => boolean = () => true): Promise<EventLine> {
    return until(`${name} is printed`, () => {
      const { hasEnded } = this;
      const found = this.events.find((event) => event.event === name && matches(event));
      if (found === undefined && hasEnded) {
        throw new Error(`no ${name}; stdout: ${this.stdout}; stderr: ${this.stderr}`);
      }
      return found;
    });
  }

  /** Writes to its input. */
  type(text: string): void {
    this.child.stdin!.write(text);
  }
}

/** Starts `espora` with these arguments. */
export function startEspora(
  t: ExecutionContext<unknown>,
  args: readonly string[],
  options: ProgramOptions = {},
): Program {
  return new Program(t, process.execPath, [main, ...args], options);
}

/**
 * Starts `espora` as a service manager does (sd_listen_fds(3)): `descriptors` are its own from 3 on, and
 * LISTEN_PID is the process id that it will have.
 */
export function startOnSockets(
  t: ExecutionContext<unknown>,
  args: readonly string[],
  descriptors: readonly number[],
  options: ProgramOptions = {},
): Program {
  const script = 'exec env LISTEN_PID=$$ LISTEN_FDNAMES=a "$@"';
  const environment = { LISTEN_FDS: String(descriptors.length), ...options.environment };
  const all = ['-c', script, 'sh', process.execPath, main, ...args];
  return new Program(t, '/bin/sh', all, { ...options, environment, descriptors });
}

/**
 * Starts `espora` on a terminal of its own, what is typed there being the input of the program. A
 * sanitizer's library is for that program alone, not for `script` and the shell around it.
 */
export function startOnTerminal(
  t: ExecutionContext<unknown>,
  args: readonly string[],
  options: ProgramOptions = {},
): Program {
  const quoted = [process.execPath, main, ...args].map((one) => `'${one}'`).join(' ');
  const preload = process.env['LD_PRELOAD'] ?? '';
  const environment = { ...options.environment, LD_PRELOAD: '' };
  const script = ['-q', '-e', '-c', `LD_PRELOAD='${preload}' exec ${quoted}`, '/dev/null'];
  return new Program(t, 'script', script, { ...options, environment, keepInput: true });
}

/** Runs `espora` with these arguments to its end. */
export function runEspora(
  t: ExecutionContext<unknown>,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Ended> {
  return startEspora(t, args, options).ended;
}
