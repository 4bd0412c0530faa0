// Reads the rows of a store in portions, off the main thread, one portion ahead of the caller.
import { Buffer } from 'node:buffer';
import { asError, EsporaError, invalid } from '../errors.js';
import type { NativePortion, NativePortionOptions, NativeStore } from '../native.js';
import { refuseUnknown } from '../options/suggest.js';
import { shown } from '../shown.js';

/** A record with its place in the store. */
export interface Row<T> {
  readonly seq: number;
  /** Microseconds since 1970. */
  readonly time: number;
  readonly value: T;
}

/** Which records are read: all of them without any of this. Bounds are sequence numbers. */
export interface ReadRange {
  readonly gt?: number;
  readonly gte?: number;
  readonly lt?: number;
  readonly lte?: number;
  /** Most rows. */
  readonly limit?: number;
  /** The last row first. */
  readonly reverse?: boolean;
  /** Continues with records that become durable later. Not with `reverse`. */
  readonly live?: boolean;
  /** Ends the reading: the iterator then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What an iterator uses of its store. */
export interface RowSource<T> {
  readonly decode: (bytes: Buffer) => T;
  readonly durableSeq: () => number;
  readonly portion: (options: NativePortionOptions) => Promise<NativePortion>;
  readonly closed: () => boolean;
  /** A wait for records keeps the event loop alive. */
  readonly native: Pick<NativeStore, 'hold' | 'letGo'>;
  /**
   * Calls the listener whenever records became durable and when the store is closed. Returns a function
   * that removes it.
   */
  readonly onMove: (listener: () => void) => () => void;
}

const rangeNames = ['gt', 'gte', 'lt', 'lte', 'limit', 'reverse', 'live', 'signal'];
const deliveredHeaderBytes = 24;
const portionRecordsMax = 4096;

// Reads each bound once, so that a getter cannot change it after the check. `last` does not consider yet
// what is durable.
function takeRange(range: ReadRange) {
  if (typeof range !== 'object' || (range as unknown) === null) {
    throw invalid('what read takes must be an object');
  }
  refuseUnknown('read', range, rangeNames);
  const { gt, gte, lt, lte, limit, reverse, live, signal } = range;
  for (const [name, value] of Object.entries({ gt, gte, lt, lte, limit })) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) continue;
    throw invalid(`${name} must be a whole number from 0 on, not ${shown(value)}`);
  }
  for (const [name, value] of Object.entries({ reverse, live })) {
    if (value === undefined || typeof value === 'boolean') continue;
    throw invalid(`${name} must be true or false, not ${shown(value)}`);
  }
  if (gt !== undefined && gte !== undefined) throw invalid('gt and gte exclude each other');
  if (lt !== undefined && lte !== undefined) throw invalid('lt and lte exclude each other');
  if (live === true && reverse === true) throw invalid('live and reverse exclude each other');
  if (signal !== undefined && !isSignal(signal)) throw invalid('signal must be an AbortSignal');
  return {
    first: Math.max(1, gte ?? (gt ?? 0) + 1),
    last: lte ?? (lt === undefined ? Number.MAX_SAFE_INTEGER : lt - 1),
    limit: limit ?? Infinity,
    reverse: reverse ?? false,
    live: live ?? false,
    signal,
  };
}

// Not by its class: another realm has one of its own.
function isSignal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { aborted, addEventListener, removeEventListener } = value as Partial<AbortSignal>;
  return (
    typeof aborted === 'boolean' &&
    typeof addEventListener === 'function' &&
    typeof removeEventListener === 'function'
  );
}

/** Made by `Store.read`. */
export class RowIterator<T> implements AsyncIterableIterator<Row<T>> {
  readonly #source: RowSource<T>;
  readonly #reverse: boolean;
  readonly #live: boolean;
  readonly #signal: AbortSignal | undefined;
  // The sequence numbers that are still to be read, both ends included.
  #first: number;
  #last: number;
  #left: number;
  // The current portion and the position in it.
  #bytes: Buffer = Buffer.alloc(0);
  #view = new DataView(new ArrayBuffer(0));
  #at = 0;
  #ahead: Promise<NativePortion> | undefined;
  // Calls of next() that wait for a portion are answered in their order.
  #chain: Promise<unknown> | undefined;
  #done = false;
  #stopWaiting: (() => void) | undefined;

  constructor(range: ReadRange, source: RowSource<T>) {
    const { first, last, limit, reverse, live, signal } = takeRange(range);
    this.#source = source;
    this.#reverse = reverse;
    this.#live = live;
    this.#signal = signal;
    this.#first = first;
    this.#last = live ? last : Math.min(last, source.durableSeq());
    this.#left = limit;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next row, in the order of the calls. */
  next(): Promise<IteratorResult<Row<T>, undefined>> {
    const ready = this.#chain === undefined && this.#at < this.#bytes.length;
    if (ready && this.#signal?.aborted !== true) {
      try {
        return Promise.resolve({ value: this.#take(), done: false });
      } catch (error) {
        this.#end();
        return Promise.reject(asError(error));
      }
    }
    const before = this.#chain ?? Promise.resolve();
    const result = before.then(() => this.#slowNext());
    const settled: Promise<unknown> = result
      .catch(() => undefined)
      .then(() => {
        if (this.#chain === settled) this.#chain = undefined;
      });
    this.#chain = settled;
    return result;
  }

  /** Ends the reading; a loop that is left calls it. */
  return(): Promise<IteratorReturnResult<undefined>> {
    this.#end();
    return Promise.resolve({ value: undefined, done: true });
  }

  async #slowNext(): Promise<IteratorResult<Row<T>, undefined>> {
    try {
      while (!this.#done) {
        if (this.#signal?.aborted === true) throw this.#signal.reason;
        if (this.#at < this.#bytes.length) return { value: this.#take(), done: false };
        if (!(await this.#load())) this.#end();
      }
    } catch (error) {
      this.#end();
      throw error;
    }
    return { value: undefined, done: true };
  }

  // Gets the next portion; false if there is none.
  async #load(): Promise<boolean> {
    const durable = this.#source.durableSeq();
    if (this.#ahead === undefined) {
      if (this.#left === 0 || this.#first > this.#last) return false;
      if (this.#live && this.#first > durable) {
        if (this.#source.closed()) return false;
        await this.#wait();
        return true;
      }
      this.#request(durable);
    }
    const portion = await this.#orAborted(this.#ahead!);
    if (portion === undefined || this.#done) return true; // aborted or ended: the caller checks
    this.#ahead = undefined;
    if (portion.lastSeq === 0) {
      throw new EsporaError('ERR_ESPORA_CORRUPT', 'records that were durable are not there');
    }
    if (this.#reverse) this.#last = portion.lastSeq - 1;
    else this.#first = portion.lastSeq + 1;
    this.#bytes = Buffer.from(portion.bytes);
    this.#view = new DataView(portion.bytes);
    this.#at = 0;
    this.#left -= this.#rows();
    // One portion ahead, if there certainly are more records.
    if (this.#left > 0 && this.#first <= Math.min(this.#last, durable)) this.#request(durable);
    return true;
  }

  #request(durable: number): void {
    const last = Math.min(this.#last, durable);
    const recordsMax = Math.min(this.#left, portionRecordsMax);
    const reverse = this.#reverse;
    this.#ahead = this.#source.portion({ first: this.#first, last, reverse, recordsMax });
    // A failure is seen where this promise is awaited; it may never be awaited.
    this.#ahead.catch(() => undefined);
  }

  #rows(): number {
    let rows = 0;
    for (let at = 0; at < this.#bytes.length; rows++) at = this.#spanAt(at).next;
    return rows;
  }

  /** Where the value at `at` lies, and where the next record begins. */
  #spanAt(at: number): { start: number; end: number; next: number } {
    const length = this.#view.getUint32(at + 16, true);
    const start = at + deliveredHeaderBytes;
    return { start, end: start + length, next: start + ((length + 7) & ~7) };
  }

  #take(): Row<T> {
    const at = this.#at;
    const { start, end, next } = this.#spanAt(at);
    this.#at = next;
    return {
      seq: this.#view.getFloat64(at, true),
      time: this.#view.getFloat64(at + 8, true),
      value: this.#source.decode(this.#bytes.subarray(start, end)),
    };
  }

  // Waits until records became durable, the store is closed, the signal aborts, or return() is called.
  async #wait(): Promise<void> {
    this.#source.native.hold();
    let off: (() => void) | undefined;
    try {
      await this.#untilAborted((resolve) => {
        off = this.#source.onMove(resolve);
        this.#stopWaiting = resolve;
      });
    } finally {
      this.#stopWaiting = undefined;
      off?.();
      this.#source.native.letGo();
    }
  }

  // The promise's result, or undefined as soon as the signal aborts or return() is called.
  async #orAborted<R>(promise: Promise<R>): Promise<R | undefined> {
    let result: R | undefined;
    await this.#untilAborted((resolve, reject) => {
      this.#stopWaiting = resolve;
      promise.then((value) => {
        result = value;
        resolve();
      }, reject);
    });
    this.#stopWaiting = undefined;
    return result;
  }

  // Listens to the signal only while `wait` takes, because a signal may outlive any number of reads. The
  // caller checks afterwards whether it has aborted.
  async #untilAborted(
    wait: (resolve: () => void, reject: (error: unknown) => void) => void,
  ): Promise<void> {
    const signal = this.#signal;
    let stop: (() => void) | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        stop = resolve;
        signal?.addEventListener('abort', stop);
        wait(resolve, reject);
      });
    } finally {
      signal?.removeEventListener('abort', stop!);
    }
  }

  #end(): void {
    this.#done = true;
    this.#bytes = Buffer.alloc(0);
    this.#at = 0;
    this.#ahead = undefined;
    this.#stopWaiting?.();
  }
}
