// Pins processes to a CPU with taskset(1): a process that moves between CPUs measures its caches.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** "0-2,5" as numbers. */
export function parseCpuList(list: string): number[] {
  return list
    .split(',')
    .filter((range) => range !== '')
    .flatMap((range) => {
      const [first, last = first] = range.split('-').map(Number);
      return Array.from({ length: last! - first! + 1 }, (_, index) => first! + index);
    });
}

/**
 * The last CPU that this process may use (interrupts mostly go to the first), or undefined where
 * taskset(1) is missing.
 */
export function choosePinnedCpu(): number | undefined {
  const status = readFileSync('/proc/self/status', 'utf8');
  const allowed = parseCpuList(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '');
  const cpu = allowed.at(-1);
  if (cpu === undefined) return undefined;
  return spawnSync('taskset', ['-c', String(cpu), 'true']).status === 0 ? cpu : undefined;
}

/** A command that runs on `cpu` only; as it is without one. */
export function pinned(
  cpu: number | undefined,
  command: string,
  args: readonly string[],
): [command: string, args: string[]] {
  return cpu === undefined
    ? [command, [...args]]
    : ['taskset', ['-c', String(cpu), command, ...args]];
}

/** A CPU for what is not measured, where processes are pinned. */
export const otherThan = (cpu: number | undefined): number | undefined =>
  cpu === undefined || cpu === 0 ? undefined : cpu - 1;
