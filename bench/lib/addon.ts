// The benchmarks' own addon (bench/native), typed. Loops return nanoseconds for all iterations.

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

export interface EncodeTrial {
  /** Returns the bytes of the batch that are used. */
  one(
    account: number,
    credit: boolean,
    amount: number,
    balance: number,
    time: number,
    description: string,
  ): number;
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
  one(account: number, credit: boolean, amount: number, time: number, description: string): number;
  loop(iterations: number): number;
  /** Per account, by id: its balance, and the sequence that changed it last. */
  state(): number[];
}

export interface AppendTrial {
  /** The time of each commit with its appends, in nanoseconds. */
  round(milliseconds: number, inFlight: number): Float64Array;
  /** Returns when nothing of the store writes to the disk any more. */
  settle(): void;
  stats(): { readonly directIo: boolean; readonly rolls: number };
  close(): void;
}

export interface BareLoop {
  /** The time of each write with its flush, in nanoseconds. */
  round(milliseconds: number): Float64Array;
  readonly direct: boolean;
}

export interface Addon {
  readonly version: string;
  readonly callEmpty: () => undefined;
  readonly callNumber: (value: number) => number;
  readonly callBytes: (value: Uint8Array) => number;
  readonly callString: (value: string) => number;
  readonly EncodeTrial: new (batch: Buffer, entries: readonly NativeEntry[]) => EncodeTrial;
  readonly ChecksumTrial: (new (bytes: Uint8Array) => ChecksumTrial) & {
    one(bytes: Uint8Array, seed: number): number;
    readonly hasInstruction: boolean;
  };
  readonly ParseTrial: new (messages: readonly Uint8Array[], fields: Float64Array) => ParseTrial;
  readonly ApplyTrial: new (entries: readonly NativeEntry[]) => ApplyTrial;
  readonly AppendTrial: new (directory: string, entries: readonly NativeEntry[]) => AppendTrial;
  readonly BareLoop: new (path: string, fileBytes: number, writeBytes: number) => BareLoop;
}

/** Throws where it is not built: `npm run bench` does that. */
export function loadAddon(): Addon {
  const load = createRequire(import.meta.url);
  return load(at('bench/native/build/Release/espora_bench.node')) as Addon;
}
