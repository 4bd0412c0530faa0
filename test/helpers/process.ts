// Processes, as the kernel reports them.
import { readFileSync, readdirSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { until } from '#espora/lab/until.js';

/** True while the process exists and has not ended (a zombie has). */
export function isRunning(pid: number): boolean {
  const state = statOf(pid)?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** State, parent, process group and session from proc(5); undefined if there is no such process. */
export function statOf(
  pid: number,
): { state: string; parent: number; group: number; session: number } | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name, in parentheses, may contain anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state = '', parent, group, session] = fields;
  return { state, parent: Number(parent), group: Number(group), session: Number(session) };
}

/**
 * Stops all threads of a process. They continue by SIGCONT, or when the test has ended, because a stopped
 * process cannot end. A running thread handles requests until the kernel delivers the signal, so this waits
 * until each thread is stopped, by the signal or by its tracer (proc(5)).
 */
export async function halt(t: ExecutionContext<unknown>, pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  t.teardown(() => resume(pid));
  await until(`process ${String(pid)} is stopped`, () =>
    readdirSync(`/proc/${String(pid)}/task`).every((thread) =>
      ['T', 't'].includes(statOf(Number(thread))?.state ?? ''),
    ),
  );
}

/** Continues a stopped process; does nothing if it has ended. */
export function resume(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It has ended.
  }
}

/** The command as `ps` shows it. */
export function titleOf(pid: number): string {
  return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8')
    .replace(/\0+$/, '')
    .replaceAll('\0', ' ');
}

/** A line of `/proc/<pid>/status` in bytes: `VmHWM` for the most memory that was in use, and others. */
export function memoryOf(pid: number, line: string): number {
  const status = readFileSync(`/proc/${String(pid)}/status`, 'utf8');
  return Number(new RegExp(`^${line}:\\s+(\\d+) kB$`, 'm').exec(status)![1]) * 1024;
}
