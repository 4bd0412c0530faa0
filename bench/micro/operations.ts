// Trials whose figure is the time of one operation: how a loop becomes a contestant, and rounds a
// table with ratios.

import { createHash } from 'node:crypto';
import type { Column, Value } from '../lib/report.js';
import { figureOf, ratioOf } from '../lib/statistics.js';
import type { Case, CaseRounds, Contestant, MicroTrial, Variant } from './micro-trial.js';
import { figuresOf } from './micro-trial.js';

/** What a contestant made of its workload, short enough to be compared. */
export function fingerprintOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 16);
}

/** Does so many iterations, and returns the nanoseconds of CPU time that all of them took. */
export type Loop = (iterations: number) => number;

export function operations(fingerprint: string, loop: Loop): Contestant {
  let nsEach: number | undefined;
  return {
    fingerprint,
    round(milliseconds) {
      const target = milliseconds * 1e6;
      for (let iterations = 1; nsEach === undefined; iterations *= 2) {
        const ns = loop(iterations);
        if (ns > target / 8) nsEach = ns / iterations;
      }
      const iterations = Math.max(1, Math.round(target / nsEach));
      nsEach = loop(iterations) / iterations;
      return { ns: nsEach };
    },
  };
}

/**
 * A loop in JavaScript; `work` does all iterations itself. It is CPU time of the process, as in native
 * loops: V8's own threads count, other processes on the same CPU don't.
 */
export const timed =
  (work: (iterations: number) => void): Loop =>
  (iterations) => {
    const begin = process.cpuUsage();
    work(iterations);
    const { user, system } = process.cpuUsage(begin);
    return (user + system) * 1e3;
  };

/** The sum of what the last loop over a pool gave. */
export let lastSum = 0;

/**
 * A loop of `work` on each of `pool` in turn, of which there are a power of two. What it gives is summed
 * up, so that it is really done; NaN is what the workload must not bring about. A process has one such
 * loop, so that V8 sees one function and one kind of value in it.
 */
export function looped<Item>(pool: readonly Item[], work: (item: Item) => number): Loop {
  const mask = pool.length - 1;
  return timed((iterations) => {
    let sum = 0;
    for (let i = 0; i < iterations; i++) sum += work(pool[i & mask]!);
    if (Number.isNaN(sum)) throw new Error('a part of the workload was refused');
    lastSum = sum;
  });
}

const titles = {
  javascript: 'JavaScript',
  call: 'native, one by one',
  native: 'native, data plane',
} as const;

/** The variants that most trials have. */
export const variantsOf = (
  prepares: Readonly<Partial<Record<keyof typeof titles, Variant['prepare']>>>,
): Variant[] =>
  Object.entries(prepares).map(([name, prepare]) => ({
    name,
    title: titles[name as keyof typeof titles],
    prepare,
  }));

interface Operations extends Pick<MicroTrial, 'name' | 'title' | 'variants'> {
  /** Their titles, by their names. */
  readonly cases: Readonly<Record<string, string>>;
  /** Titles of the variants that speeds are compared with: "4×" is a quarter of that variant's time. */
  readonly references?: Readonly<Record<string, string>>;
  /** A rate beside the time, from nanoseconds per operation. */
  readonly rate?: { readonly title: string; of(ns: number, caseName: string): number };
  readonly notes?: readonly string[];
}

/** A trial made of `operations`. */
export function operationsTrial(trial: Operations): MicroTrial {
  const { references = { javascript: 'JavaScript' }, notes = [], variants } = trial;
  const rate = trial.rate ?? { title: 'million/s', of: (ns: number) => 1e3 / ns };
  const cases = Object.entries(trial.cases).map(([name, title]) => ({ name, title }));
  const columns: Column[] = [
    { key: 'case', title: 'case' },
    { key: 'variant', title: 'variant' },
    { key: 'ns', title: 'CPU ns each' },
    { key: 'rate', title: rate.title },
    ...Object.entries(references).map(([variant, title]) => ({
      key: `speed over ${variant}`,
      title: `speed over ${title}`,
      suffix: '×',
    })),
  ];
  const rowsOf = (one: Case, rounds: CaseRounds): Record<string, Value>[] =>
    variants.flatMap(({ name, title }) => {
      const times = figuresOf(rounds, name, 'ns');
      if (times === undefined) return [];
      const ns = figureOf(times);
      const rated = rate.of(ns.median, one.name);
      const row: Record<string, Value> = { case: one.title, variant: title, ns, rate: rated };
      for (const variant of Object.keys(references)) {
        const base = figuresOf(rounds, variant, 'ns');
        if (base === undefined) continue;
        row[`speed over ${variant}`] = variant === name ? 1 : ratioOf(base, times);
      }
      return [row];
    });
  return {
    name: trial.name,
    title: trial.title,
    cases,
    variants,
    report: (rounds) => ({
      columns,
      rows: cases.flatMap((one) => rowsOf(one, rounds.get(one.name)!)),
      budgets: [],
      notes,
    }),
  };
}
