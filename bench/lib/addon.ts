// The benchmarks' own addon (bench/native), with its types. Loops return nanoseconds for all iterations.

import { createRequire } from 'node:module';
import { at } from './project.js';

/** An entry as the native trials take it; those that need less ignore the rest. */
interface NativeEntry {
  readonly account: number;
  readonly credit: boolean;
  readonly amount: number;
  readonly balance: number;
  readonly time: number;
  readonly description: string;
}

/** The same as the arguments of a single call. */
type SingleEntry = [
  account: number,
  credit: boolean,
  amount: number,
  time: number,
  description: string,
];

export interface EncodeTrial {
  /** Returns the bytes of the batch that are used. */
  one(...entry: [...SingleEntry, balance: number]): number;
  loop(iterations: number): number;
}

export interface ChecksumTrial {
  loop(iterations: number): number;
  tableLoop(iterations: number): number;
  /** The checksum that the last loop ended with. */
  readonly last: number;
}

export interface ParseTrial {
  /** Whether `message` is one whole request; its parts are in `fields`. */
  one(message: Uint8Array): boolean;
  loop(iterations: number): number;
  /** The description, or null for a body that is refused; the rest is in `fields`. */
  bodyOne(body: Uint8Array): string | null;
  bodyLoop(iterations: number): number;
}

export interface ApplyTrial {
  /** The balance after it; NaN for a refusal. */
  one(...entry: SingleEntry): number;
  loop(iterations: number): number;
  /** Per account, by id: its balance, and the sequence that changed it last. */
  state(): number[];
}

export interface BareLoop {
  /** The time of each write with its flush, in nanoseconds. */
  round(milliseconds: number): Float64Array;
  one(): number;
  readonly direct: boolean;
}

export interface HistoryOptions {
  readonly directory: string;
  /** 0: as the store has it. */
  readonly segmentBytes: number;
  /** Whether each commit waits for its flush. */
  readonly flush: boolean;
  /** Whether it is opened from the first record on, and not from a snapshot. */
  readonly replay: boolean;
  /** Whether the housekeeping thread rewrites, and not only makes snapshots. */
  readonly rewrite: boolean;
}

export interface HistoryStats {
  readonly openMs: number;
  readonly records: number;
  /** Read when it was opened. */
  readonly replayed: number;
  readonly snapshotSeq: number;
  /** Number of the current one. */
  readonly segment: number;
  readonly rewritten: number;
  readonly snapshots: number;
  /** The last segment that a snapshot holds. */
  readonly snapshotSegment: number;
  readonly directIo: boolean;
  readonly spareReady: boolean;
  /** Of housekeeping, in words; empty for none. */
  readonly failure: string;
  /** A digest of balances and last transactions. */
  readonly state: string;
  readonly balances: readonly number[];
}

export interface HistoryTrial {
  /** So many transactions more, in batches of 1 to 16. */
  build(transactions: number): void;
  /** Starts or ends the housekeeping thread, which may only prepare segments. */
  keepHouse(on: boolean, onlySpares?: boolean): void;
  /** The time of each commit of one transaction, in nanoseconds. */
  round(milliseconds: number): Float64Array;
  /** The time of each commit of so many records with their appends, in nanoseconds. */
  appendRound(milliseconds: number, inFlight: number): Float64Array;
  /** Returns when nothing of the store writes to the disk any more. */
  settle(): void;
  stats(): HistoryStats;
  close(): void;
}

export interface Addon {
  readonly callEmpty: () => undefined;
  readonly callNumber: (value: number) => number;
  readonly callBytes: (value: Uint8Array) => number;
  readonly callString: (value: string) => number;
  readonly EncodeTrial: new (batch: Buffer, entries: readonly NativeEntry[]) => EncodeTrial;
  readonly ChecksumTrial: (new (bytes: Uint8Array) => ChecksumTrial) & {
    one(this: void, bytes: Uint8Array, seed: number): number;
  };
  readonly ParseTrial: new (messages: readonly Uint8Array[], fields: Float64Array) => ParseTrial;
  readonly ApplyTrial: new (entries: readonly NativeEntry[]) => ApplyTrial;
  readonly HistoryTrial: (new (options: HistoryOptions) => HistoryTrial) & {
    verify(directory: string): {
      readonly damaged: boolean;
      readonly records: number;
      readonly segments: number;
      readonly denseSegments: number;
    };
  };
  readonly BareLoop: new (path: string, fileBytes: number, writeBytes: number) => BareLoop;
}

/** Throws where it is not built: `npm run bench` does that. */
export function loadAddon(): Addon {
  const load = createRequire(import.meta.url);
  return load(at('build-cmake-bench/bench/espora_bench.node')) as Addon;
}
