// Durable appends through the store's engine, inline as in the database, against the bare loop of
// pwrite and fdatasync on the same disk.

import { join } from 'node:path';
import { loadAddon } from '../lib/addon.js';
import type { Budget, Value } from '../lib/report.js';
import { budget } from '../lib/report.js';
import { figureOf, quantile, ratioOf } from '../lib/statistics.js';
import type { Case, CaseRounds, Contestant, Figures, MicroTrial, Variant } from './micro-trial.js';
import { figuresOf } from './micro-trial.js';

const blockBytes = 4096;
/** As large as a segment of the store. */
const fileBytes = 64 * 1024 * 1024;
const frameHeaderBytes = 64;
/** Header, fixed part and ten characters, in eights. */
const recordBytes = 8 + 32 + 16;

const inFlight: Record<string, number> = { one: 1, some: 64, many: 4096 };
const cases: Case[] = [
  { name: 'one', title: '1' },
  { name: 'some', title: '64' },
  { name: 'many', title: '4,096' },
];

/** What the engine writes for one commit. */
const batchBytes = (records: number): number =>
  Math.ceil((frameHeaderBytes + records * recordBytes) / blockBytes) * blockBytes;

/** `times` of the commits of one round, one behind the other. */
function figures(times: Float64Array, recordsEach: number): Figures {
  const seconds = times.reduce((sum, time) => sum + time, 0) / 1e9;
  return {
    p50: quantile(times, 0.5) / 1e3,
    p99: quantile(times, 0.99) / 1e3,
    flushes: times.length / seconds,
    records: (times.length * recordsEach) / seconds,
  };
}

function bareLoop(directory: string, bytes: number): Contestant {
  const loop = new (loadAddon().BareLoop)(join(directory, 'file'), fileBytes, bytes);
  return {
    fingerprint: loop.direct ? 'O_DIRECT' : 'buffered',
    round: (milliseconds) => figures(loop.round(milliseconds), 1),
  };
}

const variants: Variant[] = [
  {
    name: 'bare',
    title: 'bare loop, one block',
    prepare: (_caseName, directory) => bareLoop(directory, blockBytes),
  },
  {
    name: 'bare-batch',
    title: 'bare loop, as many bytes',
    cases: ['many'],
    prepare: (caseName, directory) => bareLoop(directory, batchBytes(inFlight[caseName]!)),
  },
  {
    name: 'native',
    title: 'the store',
    prepare(caseName, directory) {
      const records = inFlight[caseName]!;
      const options = { segmentBytes: 0, flush: true, replay: false, rewrite: false };
      const store = { directory: join(directory, 'store'), ...options };
      const trial = new (loadAddon().HistoryTrial)(store);
      trial.keepHouse(true, true);
      trial.settle();
      return {
        fingerprint: trial.stats().directIo ? 'O_DIRECT' : 'buffered',
        round(milliseconds) {
          const times = trial.appendRound(milliseconds, records);
          // The next segment is filled outside the others' turns.
          trial.settle();
          return figures(times, records);
        },
        close: () => trial.close(),
      };
    },
  },
];

function rowsOf(one: Case, rounds: CaseRounds): Record<string, Value>[] {
  return variants.flatMap(({ name, title }) => {
    const of = (figure: string): number[] | undefined => figuresOf(rounds, name, figure);
    const p50 = of('p50');
    if (p50 === undefined) return [];
    const row: Record<string, Value> = {
      inFlight: one.title,
      variant: title,
      p50: figureOf(p50),
      p99: figureOf(of('p99')!),
      flushes: figureOf(of('flushes')!).median,
    };
    if (name !== 'native') return [row];
    row.p50Ratio = p50Ratio(rounds);
    row.records = figureOf(of('records')!).median;
    row.rateRatio = rateRatio(one, rounds);
    return [row];
  });
}

/** Over the bare loop that writes as many bytes. */
const p50Ratio = (rounds: CaseRounds) =>
  ratioOf(
    figuresOf(rounds, 'native', 'p50')!,
    figuresOf(rounds, rounds.has('bare-batch') ? 'bare-batch' : 'bare', 'p50')!,
  );

/** Records a second over so many times the bare loop's flushes a second. */
function rateRatio({ name }: Case, rounds: CaseRounds) {
  const bare = figuresOf(rounds, 'bare', 'flushes')!;
  return ratioOf(
    figuresOf(rounds, 'native', 'records')!,
    bare.map((rate) => rate * inFlight[name]!),
  );
}

function budgetsOf(rounds: ReadonlyMap<string, CaseRounds>): Budget[] {
  const [one, some] = cases;
  return [
    budget("1 in flight: p50 over the bare loop's", p50Ratio(rounds.get(one!.name)!), '≤', 1.15),
    budget(
      "64 in flight: records a second over 64 × the bare loop's flushes a second",
      rateRatio(some!, rounds.get(some!.name)!),
      '≥',
      0.8,
    ),
  ];
}

export const append: MicroTrial = {
  name: 'append',
  title: 'durable appends: n records into the open batch, one commit, again',
  cases,
  variants,
  // A disk is now fast, now slow: many short turns, so that all meet the same of it.
  pace: {
    full: { rounds: 31, roundMs: 60, warmUpMs: 200 },
    small: { rounds: 3, roundMs: 16, warmUpMs: 16 },
  },
  report: (rounds) => ({
    columns: [
      { key: 'inFlight', title: 'in flight' },
      { key: 'variant', title: 'variant' },
      { key: 'p50', title: 'p50, µs' },
      { key: 'p99', title: 'p99, µs' },
      { key: 'flushes', title: 'commits/s' },
      { key: 'records', title: 'records/s' },
      { key: 'p50Ratio', title: 'p50 over as many bytes bare', suffix: '×' },
      { key: 'rateRatio', title: 'rate over n × bare', suffix: '×' },
    ],
    rows: cases.flatMap((one) => rowsOf(one, rounds.get(one.name)!)),
    budgets: budgetsOf(rounds),
    notes: [
      'Both write past the page cache (O_DIRECT) where the file system allows it, into files that ' +
        'were allocated, zero-filled and flushed before.',
    ],
  }),
};
