// `store-append`, `store-batch` and `store-read`: the library's budgets over its peers.

import { budget } from '../lib/report.js';
import type { Budget, Report, Value } from '../lib/report.js';
import { figureOf, ratioOf, takeTurns } from '../lib/statistics.js';
import type { Context, Trial } from '../lib/trial.js';
import { playRound, present } from './contestants.js';
import type { Measured, Task } from './contestants.js';

interface Row {
  readonly label: string;
  readonly task: Omit<Task, 'directory'>;
  /** Least rate over the fastest peer's; absent: no budget. */
  readonly limit?: number;
}

interface Plan {
  readonly name: string;
  readonly title: string;
  readonly names: readonly string[];
  readonly rows: (small: boolean) => readonly Row[];
  readonly notes: readonly string[];
}

const row = (
  label: string,
  kind: Task['kind'],
  flight: number,
  count: number,
  limit?: number,
): Row => ({ label, task: { kind, flight, count }, ...(limit === undefined ? {} : { limit }) });

const rateOf = ({ records, seconds }: Measured): number => records / seconds;

async function playPlan(plan: Plan, context: Context): Promise<Report> {
  const { names, notes } = present(plan.names);
  const rows: Record<string, Value>[] = [];
  const budgets: Budget[] = [];
  for (const { label, task, limit } of plan.rows(context.small)) {
    context.progress(`${plan.name}: ${label}`);
    const players = names.map((name) => () => playRound(name, task, context));
    const results = await takeTurns(players, context.small ? 2 : 5);
    const rates = results.map((ofOne) => ofOne.map(rateOf));
    names.forEach((name, index) => {
      rows.push({
        what: label,
        name,
        rate: figureOf(rates[index]!),
        ratio: index === 0 ? '' : ratioOf(rates[0]!, rates[index]!),
        bytes: figureOf(results[index]!.map(({ diskBytes, records }) => diskBytes / records)),
      });
    });
    if (limit === undefined || names.length < 2) continue;
    // The peer that did best.
    const ratios = rates.slice(1).map((peer) => ratioOf(rates[0]!, peer));
    const worst = ratios.reduce((least, each) => (each.median < least.median ? each : least));
    budgets.push(budget(`${label}: rate over the fastest peer's`, worst, '≥', limit));
  }
  const ratio = { key: 'ratio', title: 'espora is', suffix: '×' };
  const bytes = { key: 'bytes', title: 'bytes on disk for each' };
  return {
    trial: plan.name,
    title: plan.title,
    columns: [
      { key: 'what', title: '' },
      { key: 'name', title: 'store' },
      { key: 'rate', title: 'records per second' },
      ratio,
      ...(plan.name === 'store-read' ? [bytes] : []),
    ],
    rows,
    budgets,
    notes: [...plan.notes, ...notes],
  };
}

const lmdbs = ['espora', 'lmdb', 'lmdb, flush overlapping'];

const plans: readonly Plan[] = [
  {
    name: 'store-append',
    title: 'durable appends of 100 bytes from JavaScript',
    names: lmdbs,
    rows: (small) => [
      row('1 in flight', 'append', 1, small ? 20 : 2000, 1),
      row('64 in flight', 'append', 64, small ? 640 : 64_000, 1.5),
      row('4096 in flight', 'append', 4096, small ? 8192 : 400_000, 1),
      row('100,000 in one turn', 'turn', 1, small ? 10_000 : 100_000, 0.8),
    ],
    notes: ['Each append is awaited until the device has it; each round in a fresh process.'],
  },
  {
    name: 'store-batch',
    title: 'durable batches of records of 100 bytes from JavaScript, one at a time',
    names: ['espora', 'better-sqlite3'],
    rows: (small) =>
      [1, 64, 4096].map((flight) =>
        row(`batch of ${flight}`, 'batch', flight, small ? 5 : flight === 4096 ? 100 : 1000, 1),
      ),
    notes: ['better-sqlite3: WAL, synchronous FULL, one transaction for each batch.'],
  },
  {
    name: 'store-read',
    title: 'reading records of 100 bytes forward',
    names: ['espora', 'lmdb', 'better-sqlite3'],
    rows: (small) => [
      small ? row('10,000 records', 'read', 1, 10_000) : row('1,000,000 records', 'read', 1, 1e6),
    ],
    notes: [
      'Written in batches of 1,000 by the same process just before. Bytes on disk hold what is prepared ahead: of espora ' +
        'the current segment and the next one, of 64 MiB each.',
    ],
  },
];

export const storeTrials: readonly Trial[] = plans.map((plan) => ({
  name: plan.name,
  group: 'peers',
  title: plan.title,
  run: (context) => playPlan(plan, context),
}));
