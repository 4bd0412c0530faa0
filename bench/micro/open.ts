// Opening stores of 1 and 10 million transactions, from batches of 1 to 16, whose process was killed
// with -9, with a cold page cache; and what a transaction costs on disk in the long run.

import { readdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../lib/addon.js';
import type { HistoryStats } from '../lib/addon.js';
import { runForJson } from '../lib/processes.js';
import { budget } from '../lib/report.js';
import { figureOf, ratioOf, takeTurns } from '../lib/statistics.js';
import { TrialFailure } from '../lib/trial.js';
import type { Context, Trial } from '../lib/trial.js';

const script = fileURLToPath(import.meta.url);

interface Size {
  readonly transactions: number;
  /** 0: as a new store has it. */
  readonly segmentBytes: number;
}

const full: readonly Size[] = [
  { transactions: 1_000_000, segmentBytes: 0 },
  { transactions: 10_000_000, segmentBytes: 0 },
];
// As many segments, each smaller.
const small: readonly Size[] = [
  { transactions: 20_000, segmentBytes: 1024 * 1024 },
  { transactions: 200_000, segmentBytes: 1024 * 1024 },
];
const rounds = 5;

interface Built {
  readonly size: Size;
  readonly directory: string;
  readonly diskBytes: number;
  readonly denseSegments: number;
}

/** What a child of this script prints; it kills itself with -9 when it has. */
const ask = <Answer>(args: readonly string[], { signal, cpu }: Context): Promise<Answer> =>
  runForJson<Answer>({ file: process.execPath, args: [script, ...args] }, { signal, cpu });

function bytesIn(directory: string, wanted: (name: string) => boolean): number {
  return readdirSync(directory)
    .filter(wanted)
    .reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

async function build(size: Size, context: Context): Promise<Built> {
  const directory = join(context.directory, String(size.transactions));
  const { transactions, segmentBytes } = size;
  context.progress(`open: building a store of ${transactions.toLocaleString('en')} transactions`);
  await ask<HistoryStats>(
    ['build', directory, String(transactions), String(segmentBytes)],
    context,
  );
  const { damaged, segments, denseSegments } = loadAddon().HistoryTrial.verify(directory);
  if (damaged) throw new TrialFailure('open: the store that was built is damaged');
  if (denseSegments !== segments - 1) throw new TrialFailure('open: it was not rewritten');
  // All but the last segment: that one is rewritten as well when its time comes.
  const last = `${String(segments).padStart(8, '0')}.seg`;
  const diskBytes = bytesIn(directory, (name) => /^\d{8}\.seg$/.test(name) && name !== last);
  return { size, directory, diskBytes, denseSegments };
}

/** Nothing of the store is in memory: by advice for each file, and for all where root may say so. */
function coolDown(): void {
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '3');
  } catch {
    // Not root: the store itself reads past the page cache.
  }
}

function open({ directory }: Built, from: string, context: Context): Promise<HistoryStats> {
  coolDown();
  return ask(['open', directory, from], context);
}

/** A full replay beside an opening from the snapshot: both must come to the same. */
async function compare(built: Built, context: Context): Promise<HistoryStats> {
  context.progress('open: the balances of a full replay');
  const quick = await open(built, 'snapshot', context);
  const replay = await open(built, 'start', context);
  const { transactions } = built.size;
  if (quick.state !== replay.state || quick.records !== replay.records) {
    throw new TrialFailure('open: the snapshot gives other balances than a full replay');
  }
  if (quick.snapshotSeq === 0 || replay.replayed !== quick.records) {
    throw new TrialFailure('open: there was no snapshot');
  }
  if (quick.records !== transactions) throw new TrialFailure('open: transactions are missing');
  return replay;
}

export const openTrial: Trial = {
  name: 'open',
  group: 'micro',
  title: 'opening a store after kill -9, cold page cache',

  async run(context) {
    const sizes = context.small ? small : full;
    const stores: Built[] = [];
    for (const size of sizes) stores.push(await build(size, context));
    const replays: HistoryStats[] = [];
    for (const store of stores) replays.push(await compare(store, context));
    context.progress('open: from snapshots, in turns');
    const players = stores.map((store) => () => open(store, 'snapshot', context));
    const results = await takeTurns(players, context.small ? 3 : rounds);
    const times = results.map((ofStore) => ofStore.map(({ openMs }) => openMs));
    const perTransaction = stores.map(({ diskBytes }, index) =>
      figureOf(results[index]!.map(({ snapshotSeq }) => diskBytes / snapshotSeq)),
    );
    return {
      trial: 'open',
      title: this.title,
      columns: [
        { key: 'transactions', title: 'transactions' },
        { key: 'segments', title: 'dense segments' },
        { key: 'open', title: 'open, ms' },
        { key: 'replayed', title: 'read at opening' },
        { key: 'replay', title: 'full replay, ms' },
        { key: 'bytes', title: 'bytes on disk each, in the long run' },
      ],
      rows: stores.map(({ size, denseSegments }, index) => ({
        transactions: size.transactions,
        segments: denseSegments,
        open: figureOf(times[index]!),
        replayed: results[index]!.at(-1)!.replayed,
        replay: replays[index]!.openMs,
        bytes: perTransaction[index]!,
      })),
      budgets: [
        budget(
          'time of the larger over that of the smaller',
          ratioOf(times[1]!, times[0]!),
          '≤',
          1.5,
        ),
        budget('opening the larger, seconds', figureOf(times[1]!.map((ms) => ms / 1e3)), '≤', 2),
        budget('bytes on disk for a transaction', perTransaction[1]!, '≤', 96),
      ],
      notes: [
        'From batches of 1 to 16 transactions with descriptions of ten characters; balances and last transactions of ' +
          'both ways of opening were compared.',
        'Opening includes the preparation of the segment that appends go to.',
      ],
    };
  },
};

// ---- in a process of its own --------------------------------------------------------------------

/** Nothing is closed. */
function printAndDie(stats: HistoryStats): void {
  writeSync(1, JSON.stringify(stats));
  process.kill(process.pid, 'SIGKILL');
}

function buildHere(directory: string, transactions: number, segmentBytes: number): void {
  const { HistoryTrial } = loadAddon();
  const trial = new HistoryTrial({
    directory,
    segmentBytes,
    flush: false,
    replay: false,
    rewrite: true,
  });
  trial.keepHouse(true);
  trial.build(transactions);
  const look = (): void => {
    const stats = trial.stats();
    if (stats.failure !== '') throw new Error(stats.failure);
    const closed = stats.segment - 1;
    if (stats.rewritten < closed || stats.snapshotSegment < closed) {
      setTimeout(look, 20);
    } else {
      printAndDie(stats);
    }
  };
  look();
}

if (process.argv[1] === script) {
  const [task, directory, ...rest] = process.argv.slice(2);
  if (task === 'build') {
    buildHere(directory!, Number(rest[0]), Number(rest[1]));
  } else {
    const replay = rest[0] === 'start';
    const trial = new (loadAddon().HistoryTrial)({
      directory: directory!,
      segmentBytes: 0,
      flush: true,
      replay,
      rewrite: true,
    });
    printAndDie(trial.stats());
  }
}
