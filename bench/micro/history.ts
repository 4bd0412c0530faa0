// Stores with a long history, as trials need them.

import { loadAddon } from '../lib/addon.js';
import type { HistoryTrial } from '../lib/addon.js';
import { TrialFailure } from '../lib/trial.js';

/**
 * A store of so many transactions, from batches of 1 to 16, that is open when all its closed segments are in
 * snapshots, and with `rewrite` rewritten.
 */
export function buildHistory(
  directory: string,
  transactions: number,
  segmentBytes: number,
  rewrite: boolean,
): HistoryTrial {
  const options = { directory, segmentBytes, flush: false, replay: false, rewrite };
  const trial = new (loadAddon().HistoryTrial)(options);
  trial.keepHouse(true);
  trial.build(transactions);
  for (;;) {
    const { segment, rewritten, snapshotSegment, failure } = trial.stats();
    if (failure !== '') throw new TrialFailure(`building a store: ${failure}`);
    if (Math.min(snapshotSegment, rewrite ? rewritten : Infinity) >= segment - 1) return trial;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
}
