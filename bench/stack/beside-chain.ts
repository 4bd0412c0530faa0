// Our latencies, every answer of which was flushed, beside those of HAProxy's chain, which stores nothing.

import { budget } from '../lib/report.js';
import type { Budget } from '../lib/report.js';
import { ratioOf } from '../lib/statistics.js';
import type { Latency } from './flush-at-pace.js';

/** How much more than the least a service may take that can be read back, and is watched. */
const floorLimit = 1.1;

/** What each topology may take, over HAProxy's chain. */
export const chainLimits = { relay: 1.6, handoff: 1.3 } as const;

/** The rounds of a contestant over those of another, p50 and p99. */
export function besideOther(
  text: string,
  limit: number,
  ours: readonly Latency[],
  other: readonly Latency[],
): Budget[] {
  return (['p50', 'p99'] as const).map((of) => {
    const ratio = ratioOf(
      ours.map((one) => one[of]),
      other.map((one) => one[of]),
    );
    return budget(text.replace('{}', of), ratio, '≤', limit);
  });
}

/** Our rounds over those of HAProxy's chain, and over that chain and one flush together. */
export function besideChain(
  contestant: string,
  limit: number,
  ours: readonly Latency[],
  chain: readonly Latency[],
  flush: readonly Latency[],
): Budget[] {
  const text = `${contestant}: {} over that of HAProxy's chain`;
  const both = chain.map(({ p50, p99 }, round) => ({
    p50: p50 + flush[round]!.p50,
    p99: p99 + flush[round]!.p99,
  }));
  return [
    ...besideOther(text, limit, ours, chain),
    ...besideOther(`${text} and one flush together`, 1, ours, both),
  ];
}

/** Our rounds over those of the minimal program in our shape, and that over HAProxy's chain, where it plays. */
export function besideFloor(
  [contestant, ours]: readonly [string, readonly Latency[]],
  [floorTitle, floor]: readonly [string, readonly Latency[]],
  limit: number,
  chain: readonly Latency[] | undefined,
): Budget[] {
  return [
    ...besideOther(`${contestant}: {} over that of ${floorTitle}`, floorLimit, ours, floor),
    ...(chain
      ? besideOther(`${floorTitle}: {} over that of HAProxy's chain`, limit, floor, chain)
      : []),
  ];
}
