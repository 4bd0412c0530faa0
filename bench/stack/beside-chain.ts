// Our latencies, every answer of which was flushed, beside those of HAProxy's chain, which stores nothing.

import { budget } from '../lib/report.js';
import type { Budget } from '../lib/report.js';
import { ratioOf } from '../lib/statistics.js';
import type { Latency } from './flush-at-pace.js';

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
