// System-call traces by strace(1): the database's writes, flushes and sends, in the order in which the calls
// returned.
import { spawnSync } from 'node:child_process';

/** One finished system call, as `strace -f -ttt -o` writes it. */
export interface TracedCall {
  readonly thread: number;
  readonly name: string;
  readonly args: string;
  readonly result: string;
  /** Positions in the trace of the call's start and of its return; smaller is earlier. */
  readonly begin: number;
  readonly end: number;
}

/** Why tracing is impossible on this machine; undefined if it is possible. */
export function straceMissing(): string | undefined {
  const probe = spawnSync('strace', ['-o', '/dev/null', 'true']);
  if (probe.error !== undefined) return 'strace is not installed (Debian package strace)';
  if (probe.status !== 0) return `strace cannot trace here: ${probe.stderr.toString().trim()}`;
  return undefined;
}

const unfinishedLine = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/;
const resumedLine = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (.*)$/;
const wholeLine = /^(\d+) +(\w+)\((.*)\) += (.*)$/;

/** Parses the calls of a trace, in the order of their returns. */
export function parseTrace(text: string): TracedCall[] {
  const calls: TracedCall[] = [];
  const open = new Map<number, { name: string; args: string; begin: number }>();
  for (const [position, line] of text.split('\n').entries()) {
    const unfinished = unfinishedLine.exec(line);
    if (unfinished !== null) {
      const [, thread, name, args] = unfinished;
      open.set(Number(thread), { name: name!, args: args!, begin: position });
      continue;
    }
    const resumed = resumedLine.exec(line);
    if (resumed !== null) {
      const thread = Number(resumed[1]);
      const begun = open.get(thread);
      if (begun === undefined) continue;
      open.delete(thread);
      const args = begun.args + resumed[3]!;
      calls.push({ ...begun, thread, args, result: resumed[4]!, end: position });
      continue;
    }
    const whole = wholeLine.exec(line);
    if (whole !== null) {
      const [, thread, name, args, result] = whole;
      calls.push({
        thread: Number(thread),
        name: name!,
        args: args!,
        result: result!,
        begin: position,
        end: position,
      });
    }
  }
  return calls;
}
