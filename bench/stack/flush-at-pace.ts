// What the disk alone takes for the flush in each answer, at the contest's rate.

import { setTimeout as sleep } from 'node:timers/promises';
import { loadAddon } from '../lib/addon.js';
import { quantile } from '../lib/statistics.js';
import { perSecond } from './load.js';

export const flushTitle = 'one block written and flushed, nothing else';
const fileBytes = 8 * 1024 * 1024;
const blockBytes = 4096;

/** In ms. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** Writes a block of a new file past the page cache, and flushes it, at each arrival. */
export async function flushAtPace(
  file: string,
  seconds: number,
  signal?: AbortSignal,
): Promise<Latency> {
  const loop = new (loadAddon().BareLoop)(file, fileBytes, blockBytes);
  const times: number[] = [];
  const begin = performance.now();
  for (let arrival = 0; arrival < seconds * perSecond && !signal?.aborted; arrival++) {
    const due = begin + (arrival * 1000) / perSecond;
    await sleep(Math.max(0, due - performance.now()));
    times.push(loop.one() / 1e6);
  }
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}
