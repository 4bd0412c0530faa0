// Trials whose figure is the time of one operation: how a loop becomes a contestant, and rounds a
// table with ratios.

import type { Column, Value } from '../lib/report.js';
import { figureOf, ratioOf } from '../lib/statistics.js';
import type { Case, CaseRounds, Contestant, MicroTrial } from './micro-trial.js';
import { figuresOf } from './micro-trial.js';

/** `loop(iterations)` returns the nanoseconds of CPU time that all of them took. */
export function operations(fingerprint: string, loop: (iterations: number) => number): Contestant {
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
 * A loop in JavaScript as `operations` wants it; `work` does all iterations itself. It is CPU time of
 * the process, as in native loops: V8's own threads count, other processes on the same CPU don't.
 */
export const timed =
  (work: (iterations: number) => void) =>
  (iterations: number): number => {
    const begin = process.cpuUsage();
    work(iterations);
    const { user, system } = process.cpuUsage(begin);
    return (user + system) * 1e3;
  };

export interface OperationsOptions {
  /** What speeds are compared with: "4×" is a quarter of that variant's time. */
  readonly references: readonly { readonly variant: string; readonly title: string }[];
  /** A rate beside the time, from nanoseconds per operation. */
  readonly rate: { readonly title: string; of(ns: number, caseName: string): number };
  readonly notes: readonly string[];
}

export const perSecond: OperationsOptions['rate'] = {
  title: 'million/s',
  of: (ns) => 1e3 / ns,
};

/** The `report` of a trial made of `operations`. */
export function operationsReport(
  { cases, variants }: Pick<MicroTrial, 'cases' | 'variants'>,
  { references, rate, notes }: OperationsOptions,
): MicroTrial['report'] {
  const columns: Column[] = [
    { key: 'case', title: 'case' },
    { key: 'variant', title: 'variant' },
    { key: 'ns', title: 'CPU ns each' },
    { key: 'rate', title: rate.title },
    ...references.map(({ variant, title }) => ({
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
      const row: Record<string, Value> = {
        case: one.title,
        variant: title,
        ns,
        rate: rate.of(ns.median, one.name),
      };
      for (const { variant } of references) {
        const base = figuresOf(rounds, variant, 'ns');
        if (base === undefined) continue;
        row[`speed over ${variant}`] = variant === name ? 1 : ratioOf(base, times);
      }
      return [row];
    });
  return (rounds) => ({
    columns,
    rows: cases.flatMap((one) => rowsOf(one, rounds.get(one.name)!)),
    budgets: [],
    notes,
  });
}
