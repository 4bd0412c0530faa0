// What the disk alone takes for the flush in each answer, at the contest's rate; and latencies beside
// a chain that stores nothing.

import { setTimeout as sleep } from 'node:timers/promises';
import { loadAddon } from '../lib/addon.js';
import { budget } from '../lib/report.js';
import type { Budget } from '../lib/report.js';
import { quantile, ratioOf } from '../lib/statistics.js';

/** The contest's arrivals. */
export const perSecond = 340;
export const flushTitle = 'one block written and flushed, nothing else';
const fileBytes = 8 * 1024 * 1024;
const blockBytes = 4096;

/** In ms. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** What each topology may take, over HAProxy's chain. */
export const chainLimits = { proxy: 1.6, handoff: 1.3 } as const;

/** Our rounds over those of HAProxy's chain, and over that chain and one flush together. */
export function besideChain(
  subject: string,
  limit: number,
  ours: readonly Latency[],
  chain: readonly Latency[],
  flush: readonly Latency[],
): Budget[] {
  return (['p50', 'p99'] as const).flatMap((of) => {
    const own = ours.map((one) => one[of]);
    const chained = chain.map((one) => one[of]);
    const both = chained.map((one, round) => one + flush[round]![of]);
    const text = `${subject}: ${of} over that of HAProxy's chain`;
    return [
      budget(text, ratioOf(own, chained), '≤', limit),
      budget(`${text} and one flush together`, ratioOf(own, both), '≤', 1),
    ];
  });
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
