// The native load generator, on something that listens on a port of 127.0.0.1.

import { nativeProgram, runForJson } from '../lib/processes.js';
import type { RunOptions } from '../lib/processes.js';

/** The contest's arrivals. */
export const perSecond = 340;

export const kept = ['--connections', '64'];
export const perConnection = [...kept, '--per-connection'];
export const arrivals = [...perConnection, '--rate', String(perSecond)];

export interface Seconds {
  readonly measured: number;
  readonly warmup: number;
}

/** What it prints, as far as it is used here. */
export interface Generated {
  readonly requests_per_second: number;
  readonly answers: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly p999_ms: number;
  readonly own_cpu_us_per_request: number;
  readonly watched_cpu_seconds: number;
}

export function generate(
  port: number,
  { measured, warmup }: Seconds,
  args: readonly string[],
  how: RunOptions,
): Promise<Generated> {
  const time = ['--seconds', String(measured), '--warmup', String(warmup)];
  const all = ['--target', `127.0.0.1:${port}`, ...time, ...args];
  return runForJson<Generated>({ file: nativeProgram('load_generator'), args: all }, how);
}
