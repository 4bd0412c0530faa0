// Answers of the whole service at the contest's rate while closed segments are rewritten behind it,
// beside the same with nothing to rewrite. The trial `rewriting` of group micro is the same without
// sockets, where commits follow each other as fast as they can.

import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { loadAddon } from '../lib/addon.js';
import { otherThan } from '../lib/pinning.js';
import { startEspora } from '../lib/processes.js';
import { figureOf, ratioOf, takeTurns } from '../lib/statistics.js';
import { TrialFailure } from '../lib/trial.js';
import type { Context, Trial } from '../lib/trial.js';
import { buildHistory } from '../micro/history.js';
import { arrivals, generate, perSecond } from './load.js';

const args = [...arrivals, '--connections', '2000', '--writes'];
const pace = {
  full: { rounds: 7, seconds: { measured: 10, warmup: 2 }, backlogSegments: 192 },
  small: { rounds: 1, seconds: { measured: 2, warmup: 1 }, backlogSegments: 8 },
} as const;
type Pace = (typeof pace)[keyof typeof pace];

/** A debit or a credit alone in its batch takes a block. */
const blockBytes = 4096;
/** Of batches of 1 to 16, which is what the store is built of. */
const transactionsPerBlock = 8;

interface Variant {
  readonly title: string;
  readonly segmentBytes: number;
  /** Whether closed segments that nobody rewrote wait in the store when it starts. */
  readonly backlog: boolean;
  readonly rewrites: boolean;
}

const variant = (
  title: string,
  mebibytes: number,
  { backlog = false, rewrites = true },
): Variant => ({ title, segmentBytes: mebibytes * 2 ** 20, backlog, rewrites });
const variants: readonly Variant[] = [
  variant('nothing to rewrite: segments of 64 MiB', 64, { rewrites: false }),
  variant('each segment when it is closed: 1 MiB', 1, {}),
  variant('a backlog, without pauses: 4 MiB', 4, { backlog: true }),
];

interface Round {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly rewritten: number;
}

async function play(variant: Variant, ownPace: Pace, context: Context): Promise<Round> {
  const { title, segmentBytes, backlog, rewrites } = variant;
  context.progress(`rewriting-p99: ${title}`);
  const parent = await mkdtemp(join(context.directory, 'round-'));
  const data = join(parent, 'store');
  try {
    // Closed segments as the service leaves them, with their snapshots, but for rewriting.
    const blocks = (ownPace.backlogSegments * segmentBytes) / blockBytes;
    if (backlog) buildHistory(data, blocks * transactionsPerBlock, segmentBytes, false).close();
    const flags = ['--topology', 'relay', '--data', data, '--segment-bytes', String(segmentBytes)];
    const { port, stop } = await startEspora(flags, context);
    // Debits and credits, from another CPU than the service's.
    const how = { cpu: otherThan(context.cpu), signal: context.signal };
    const answered = await generate(port, ownPace.seconds, args, how).finally(stop);
    const { damaged, denseSegments: rewritten } = loadAddon().HistoryTrial.verify(data);
    if (damaged) throw new TrialFailure('rewriting-p99: the store is damaged');
    if (rewrites !== rewritten > 0) {
      throw new TrialFailure(`rewriting-p99: ${title}: ${rewritten} segments were rewritten`);
    }
    return { p50: answered.p50_ms, p99: answered.p99_ms, p999: answered.p999_ms, rewritten };
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

export const rewritingP99: Trial = {
  name: 'rewriting-p99',
  group: 'stack',
  title: `answers to ${perSecond} debits and credits a second beside the rewriting of closed segments`,

  async run(context) {
    const ownPace = context.small ? pace.small : pace.full;
    const players = variants.map((variant) => () => play(variant, ownPace, context));
    const results = await takeTurns(players, ownPace.rounds);
    const of = (index: number, key: keyof Round): number[] => results[index]!.map((r) => r[key]);
    return {
      trial: 'rewriting-p99',
      title: this.title,
      columns: [
        { key: 'what', title: 'rewritten meanwhile' },
        { key: 'p50', title: 'p50 ms' },
        { key: 'p99', title: 'p99' },
        { key: 'p999', title: 'p99.9' },
        { key: 'p50Ratio', title: 'p50 over nothing', suffix: '×' },
        { key: 'p99Ratio', title: 'p99 over nothing', suffix: '×' },
        { key: 'rewritten', title: 'segments a round' },
      ],
      rows: variants.map(({ title }, index) => ({
        what: title,
        p50: figureOf(of(index, 'p50')),
        p99: figureOf(of(index, 'p99')),
        p999: figureOf(of(index, 'p999')),
        p50Ratio: ratioOf(of(index, 'p50'), of(0, 'p50')),
        p99Ratio: ratioOf(of(index, 'p99'), of(0, 'p99')),
        rewritten: figureOf(of(index, 'rewritten')),
      })),
      budgets: [],
      notes: [
        'Topology relay, all services on one CPU, a flush before each answer; a connection for each request, latency from ' +
          'the moment when it was due.',
        `Segments of 1 MiB: one is closed, rewritten and made into a snapshot about once a second, 64 times as often as with ` +
          'those of 64 MiB that a new store has; the ratio also holds what the change of segments costs.',
        `A backlog of ${ownPace.backlogSegments} closed segments when the service starts is the worst case: with more than two ` +
          'of them rewriting makes no pauses. It may be done with before the round ends.',
      ],
    };
  },
};
