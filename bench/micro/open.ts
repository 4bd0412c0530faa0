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
import { buildHistory } from './history.js';

const script = fileURLToPath(import.meta.url);

// 0: as large as in a new store. Small: as many segments, each smaller.
const full = { sizes: [1_000_000, 10_000_000], segmentBytes: 0, rounds: 5 };
const small = { sizes: [20_000, 200_000], segmentBytes: 1024 * 1024, rounds: 3 };

interface Built {
  readonly transactions: number;
  readonly directory: string;
  readonly diskBytes: number;
  readonly denseSegments: number;
}

/** What a child of this script prints; it kills itself with -9 when it has. */
const ask = (args: readonly string[], { signal, cpu }: Context): Promise<HistoryStats> =>
  runForJson({ file: process.execPath, args: [script, ...args] }, { signal, cpu });

function bytesIn(directory: string, wanted: (name: string) => boolean): number {
  return readdirSync(directory)
    .filter(wanted)
    .reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

async function build(transactions: number, segmentBytes: number, context: Context): Promise<Built> {
  const directory = join(context.directory, String(transactions));
  context.progress(`open: building a store of ${transactions.toLocaleString('en')} transactions`);
  await ask(['build', directory, String(transactions), String(segmentBytes)], context);
  const { damaged, segments, denseSegments } = loadAddon().HistoryTrial.verify(directory);
  if (damaged) throw new TrialFailure('open: the store that was built is damaged');
  if (denseSegments !== segments - 1) throw new TrialFailure('open: it was not rewritten');
  // All but the last segment: that one is rewritten as well when its time comes.
  const last = `${String(segments).padStart(8, '0')}.seg`;
  const diskBytes = bytesIn(directory, (name) => /^\d{8}\.seg$/.test(name) && name !== last);
  return { transactions, directory, diskBytes, denseSegments };
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
  if (quick.state !== replay.state || quick.records !== replay.records) {
    throw new TrialFailure('open: the snapshot gives other balances than a full replay');
  }
  if (quick.snapshotSeq === 0 || replay.replayed !== quick.records) {
    throw new TrialFailure('open: there was no snapshot');
  }
  if (quick.records !== built.transactions)
    throw new TrialFailure('open: transactions are missing');
  return replay;
}

export const openTrial: Trial = {
  name: 'open',
  group: 'micro',
  title: 'opening a store after kill -9, cold page cache',

  async run(context) {
    const { sizes, segmentBytes, rounds } = context.small ? small : full;
    const stores: Built[] = [];
    for (const size of sizes) stores.push(await build(size, segmentBytes, context));
    const replays: HistoryStats[] = [];
    for (const store of stores) replays.push(await compare(store, context));
    context.progress('open: from snapshots, in turns');
    const players = stores.map((store) => () => open(store, 'snapshot', context));
    const results = await takeTurns(players, rounds);
    const times = results.map((ofStore) => ofStore.map(({ openMs }) => openMs));
    const perTransaction = stores.map(({ diskBytes }, index) =>
      figureOf(results[index]!.map(({ snapshotSeq }) => diskBytes / snapshotSeq)),
    );
    const growth = ratioOf(times[1]!, times[0]!);
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
      rows: stores.map(({ transactions, denseSegments }, index) => ({
        transactions,
        segments: denseSegments,
        open: figureOf(times[index]!),
        replayed: results[index]!.at(-1)!.replayed,
        replay: replays[index]!.openMs,
        bytes: perTransaction[index]!,
      })),
      budgets: [
        budget('time of the larger over that of the smaller', growth, '≤', 1.5),
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

// In a process of its own.
if (process.argv[1] === script) {
  const [task, directory = '', ...rest] = process.argv.slice(2);
  const options = { directory, segmentBytes: 0, flush: true, rewrite: true };
  const trial =
    task === 'build'
      ? buildHistory(directory, Number(rest[0]), Number(rest[1]), true)
      : new (loadAddon().HistoryTrial)({ ...options, replay: rest[0] === 'start' });
  // Nothing is closed.
  writeSync(1, JSON.stringify(trial.stats()));
  process.kill(process.pid, 'SIGKILL');
}
