// Short turns of the contest's arrivals, one contestant after the other, all of which are up all the time.

import { join } from 'node:path';
import type { Report } from '../lib/report.js';
import { figureOf } from '../lib/statistics.js';
import type { Context } from '../lib/trial.js';
import { flushAtPace } from './flush-at-pace.js';
import type { Latency } from './flush-at-pace.js';
import { arrivals, perSecond } from './load.js';
import type { Load, Played } from './whole-service.js';

const rounds = 15;
const flushSeconds = 3;
const smallFlushSeconds = 0.1;

export const roundsOf = ({ small }: { readonly small: boolean }): number => (small ? 1 : rounds);

export const arrivalsLoad: Load = {
  title: `a connection each, ${perSecond}/s`,
  args: arrivals,
  seconds: { measured: 3, warmup: 0.2 },
};

/** What one of them did in a round. */
export type Turn = Latency & Partial<Played>;

let files = 0;

/** The turn of the flush alone, without limits. */
export function playFlush({
  small,
  directory,
  signal,
}: Pick<Context, 'small' | 'directory' | 'signal'>): Promise<Turn> {
  const seconds = small ? smallFlushSeconds : flushSeconds;
  return flushAtPace(join(directory, `flushed-${++files}`), seconds, signal);
}

/** Starts all, as long as `use` takes: idle they need nothing, and who is compared plays in the same minute. */
export async function withAll<One extends { readonly stop: () => Promise<void> }, Result>(
  starts: readonly (() => Promise<One>)[],
  use: (running: readonly One[]) => Promise<Result>,
): Promise<Result> {
  const running: One[] = [];
  try {
    for (const start of starts) running.push(await start());
    return await use(running);
  } finally {
    for (const one of running.reverse()) await one.stop();
  }
}

export const turnColumns: Report['columns'] = [
  { key: 'p50', title: 'p50 ms' },
  { key: 'p99', title: 'p99' },
  { key: 'cost', title: 'CPU µs per request, all services' },
  { key: 'flushes', title: 'flushes per request' },
  { key: 'generator', title: "load's CPU", suffix: ' %' },
];

/** A row's cells under those columns; what was not counted is left out. */
export function cellsOf(turns: readonly Turn[]): Report['rows'][number] {
  const cells = {
    p50: turns.map(({ p50 }) => p50),
    p99: turns.map(({ p99 }) => p99),
    cost: turns.map(({ cost }) => cost),
    flushes: turns.map(({ flushes }) => flushes),
    generator: turns.map(({ generatorPercent }) => generatorPercent),
  };
  return Object.fromEntries(
    Object.entries(cells).flatMap(([key, values]: [string, (number | undefined)[]]) =>
      values.every((value) => value !== undefined) ? [[key, figureOf(values)]] : [],
    ),
  );
}
