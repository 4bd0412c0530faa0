// Commits of one transaction each, flushed, while nothing else happens, and while closed segments are
// rewritten and made into snapshots behind them.

import { join } from 'node:path';
import { loadAddon } from '../lib/addon.js';
import { figureOf, quantile, ratioOf } from '../lib/statistics.js';
import { TrialFailure } from '../lib/trial.js';
import { buildHistory } from './history.js';
import type { Figures, MicroTrial, Variant } from './micro-trial.js';
import { figuresOf } from './micro-trial.js';

const segmentBytes = 4 * 1024 * 1024;
/** Blocks of 4 KiB, each a batch of 1 to 16: 48 segments, of which each takes about 0.1 s. */
const transactions = 48 * 1024 * 8;

function variant(name: string, title: string, rewriting: boolean): Variant {
  return {
    name,
    title,
    prepare(_caseName, parent) {
      const directory = join(parent, 'store');
      // With snapshots up to the last segment: only rewriting is left to be done.
      buildHistory(directory, transactions, segmentBytes, false).close();
      const options = { directory, segmentBytes, replay: false, flush: true, rewrite: true };
      const trial = new (loadAddon().HistoryTrial)(options);
      return {
        fingerprint: trial.stats().directIo ? 'O_DIRECT' : 'buffered',
        round(milliseconds): Figures {
          const before = trial.stats();
          // Only during its own turn.
          if (rewriting) trial.keepHouse(true);
          const times = trial.round(milliseconds);
          trial.keepHouse(false);
          return {
            p50: quantile(times, 0.5) / 1e3,
            p99: quantile(times, 0.99) / 1e3,
            rewritten: trial.stats().rewritten - before.rewritten,
            snapshots: trial.stats().snapshots - before.snapshots,
          };
        },
        close: () => trial.close(),
      };
    },
  };
}

const quiet = variant('quiet', 'nothing beside them', false);
const busy = variant('rewriting', 'closed segments being rewritten', true);

export const rewriting: MicroTrial = {
  name: 'rewriting',
  title: 'durable commits beside the rewriting of closed segments',
  cases: [{ name: 'one', title: 'one in flight' }],
  variants: [quiet, busy],
  pace: {
    full: { rounds: 9, roundMs: 300, warmUpMs: 100 },
    small: { rounds: 3, roundMs: 150, warmUpMs: 16 },
  },
  report(byCase) {
    const rounds = byCase.get('one')!;
    const of = (name: string, figure: string): number[] => figuresOf(rounds, name, figure)!;
    const sum = (name: string, figure: string): number =>
      of(name, figure).reduce((all, count) => all + count, 0);
    if (sum('rewriting', 'rewritten') === 0) {
      throw new TrialFailure('rewriting: no segment was rewritten meanwhile');
    }
    return {
      columns: [
        { key: 'variant', title: 'variant' },
        { key: 'p50', title: 'p50, µs' },
        { key: 'p99', title: 'p99, µs' },
        { key: 'p50Ratio', title: 'p50 over quiet', suffix: '×' },
        { key: 'p99Ratio', title: 'p99 over quiet', suffix: '×' },
        { key: 'rewritten', title: 'segments rewritten' },
        { key: 'snapshots', title: 'snapshots' },
      ],
      rows: [quiet, busy].map(({ name, title }) => ({
        variant: title,
        p50: figureOf(of(name, 'p50')),
        p99: figureOf(of(name, 'p99')),
        p50Ratio: ratioOf(of(name, 'p50'), of('quiet', 'p50')),
        p99Ratio: ratioOf(of(name, 'p99'), of('quiet', 'p99')),
        rewritten: sum(name, 'rewritten'),
        snapshots: sum(name, 'snapshots'),
      })),
      budgets: [],
      notes: [
        'One commit behind the other, each waits for its flush: the harshest neighbour for a thread that reads and writes ' +
          'beside it. Snapshots and spare segments are made meanwhile as well.',
      ],
    };
  },
};
