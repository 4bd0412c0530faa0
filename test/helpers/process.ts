// What the kernel says about processes.
import { readFileSync, readdirSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { until } from '#espora/lab/until.js';

/** True while the process exists and has not ended (a zombie has). */
export function isRunning(pid: number): boolean {
  const state = statOf(pid)?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** State, parent, process group and session out of proc(5), or undefined if there is none. */
export function statOf(
  pid: number,
): { state: string; parent: number; group: number; session: number } | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name, in parentheses, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state = '', parent, group, session] = fields;
  return { state, parent: Number(parent), group: Number(group), session: Number(session) };
}

/**
 * Stops all threads of a process, which go on by SIGCONT, or when the test has ended: what is stopped cannot
 * end, and whoever waits for it would wait for ever. A thread that runs meets the signal only when the kernel
 * gets to it, and until then serves what it is asked; so this waits until each thread is stopped, by a signal or
 * by whoever traces it (proc(5)).
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

/** Lets a process go on that is stopped; one that is gone is left alone. */
export function resume(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It has ended.
  }
}

/** What `ps` shows as the command. */
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
