// Durable appends through the store's engine, inline as in the database, against the bare loop of
// pwrite and fdatasync on the same disk.

import { join } from 'node:path';
import { loadAddon } from '../lib/addon.js';
import type { Budget, Value } from '../lib/report.js';
import { budget } from '../lib/report.js';
import { figureOf, quantile, ratioOf } from '../lib/statistics.js';
import type { Case, CaseRounds, Contestant, Figures, MicroTrial, Variant } from './micro-trial.js';
import { figuresOf } from './micro-trial.js';

type Row = Record<string, Value>;

const blockBytes = 4096;
/** As large as a segment of the store. */
const fileBytes = 64 * 1024 * 1024;
const frameHeaderBytes = 64;
/** Header, fixed part and ten characters, in eights. */
const recordBytes = 8 + 32 + 16;

/** A case is so many records in flight. */
const cases: Case[] = [1, 64, 4096].map((records) => ({
  name: String(records),
  title: records.toLocaleString('en'),
}));

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
    cases: ['4096'],
    prepare: (caseName, directory) => bareLoop(directory, batchBytes(Number(caseName))),
  },
  {
    name: 'native',
    title: 'the store',
    prepare(caseName, directory) {
      const records = Number(caseName);
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

function rowsOf({ name: records, title: inFlight }: Case, rounds: CaseRounds): Row[] {
  return variants.flatMap(({ name, title }) => {
    const of = (figure: string): number[] | undefined => figuresOf(rounds, name, figure);
    const p50 = of('p50');
    if (p50 === undefined) return [];
    const row: Row = {
      inFlight,
      variant: title,
      p50: figureOf(p50),
      p99: figureOf(of('p99')!),
      flushes: figureOf(of('flushes')!).median,
    };
    const more = {
      records: figureOf(of('records')!).median,
      p50Ratio: p50Ratio(rounds),
      rateRatio: rateRatio(records, rounds),
    };
    return [name === 'native' ? { ...row, ...more } : row];
  });
}

/** Over the bare loop that writes as many bytes. */
const p50Ratio = (rounds: CaseRounds) =>
  ratioOf(
    figuresOf(rounds, 'native', 'p50')!,
    figuresOf(rounds, rounds.has('bare-batch') ? 'bare-batch' : 'bare', 'p50')!,
  );

/** Records a second over so many times the bare loop's flushes a second. */
const rateRatio = (records: string, rounds: CaseRounds) =>
  ratioOf(
    figuresOf(rounds, 'native', 'records')!,
    figuresOf(rounds, 'bare', 'flushes')!.map((rate) => rate * Number(records)),
  );

function budgetsOf(rounds: ReadonlyMap<string, CaseRounds>): Budget[] {
  const rate = "64 in flight: records a second over 64 × the bare loop's flushes a second";
  return [
    budget("1 in flight: p50 over the bare loop's", p50Ratio(rounds.get('1')!), '≤', 1.15),
    budget(rate, rateRatio('64', rounds.get('64')!), '≥', 0.8),
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
