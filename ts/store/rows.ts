// Rows of a store in the order of their sequence numbers: portions are read off the main thread,
// one ahead of what is consumed.
import { asError, EsporaError } from '../errors.js';
import type { NativePortion, NativePortionOptions } from '../native.js';
import { nearest } from '../options/suggest.js';

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
  /** Goes on with what becomes durable later. Not with `reverse`. */
  readonly live?: boolean;
  /** Ends it: the iterator then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What an iterator needs of its store. */
export interface RowSource<T> {
  readonly decode: (bytes: Buffer) => T;
  readonly durableSeq: () => number;
  readonly portion: (options: NativePortionOptions) => Promise<NativePortion>;
  readonly closed: () => boolean;
  readonly hold: () => void;
  readonly letGo: () => void;
  /** Calls the listener whenever something became durable or the store is closed; returns its end. */
  readonly onMove: (listener: () => void) => () => void;
}

const rangeNames = ['gt', 'gte', 'lt', 'lte', 'limit', 'reverse', 'live', 'signal'];
const deliveredHeaderBytes = 24;
const portionRecordsMax = 4096;

function invalid(message: string): EsporaError {
  return new EsporaError('ERR_ESPORA_INVALID', message);
}

function checkRange(range: ReadRange): void {
  if (typeof range !== 'object' || (range as unknown) === null) {
    throw invalid('what read takes has to be an object');
  }
  for (const name of Object.keys(range)) {
    if (rangeNames.includes(name)) continue;
    const known = nearest(name, rangeNames);
    throw invalid(
      known === undefined
        ? `read has no option ${name}; there are ${rangeNames.join(', ')}`
        : `read has no option ${name}, did you mean ${known}?`,
    );
  }
  for (const name of ['gt', 'gte', 'lt', 'lte', 'limit'] as const) {
    const value = range[name];
    if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) continue;
    throw invalid(`${name} has to be a whole number from 0 on, not ${String(value)}`);
  }
  for (const name of ['reverse', 'live'] as const) {
    const value = range[name];
    if (value === undefined || typeof value === 'boolean') continue;
    throw invalid(`${name} has to be true or false, not ${String(value)}`);
  }
  if (range.gt !== undefined && range.gte !== undefined) {
    throw invalid('gt and gte exclude each other');
  }
  if (range.lt !== undefined && range.lte !== undefined) {
    throw invalid('lt and lte exclude each other');
  }
  if (range.live === true && range.reverse === true) {
    throw invalid('live and reverse exclude each other');
  }
  if (range.signal !== undefined && !(range.signal instanceof AbortSignal)) {
    throw invalid('signal has to be an AbortSignal');
  }
}

/** Made by `Store.read`. */
export class RowIterator<T> implements AsyncIterableIterator<Row<T>> {
  readonly #source: RowSource<T>;
  readonly #reverse: boolean;
  readonly #live: boolean;
  readonly #signal: AbortSignal | undefined;
  // What is still to be read, both ends included.
  #first: number;
  #last: number;
  #left: number;
  // The portion that is consumed.
  #bytes: Buffer = Buffer.alloc(0);
  #view = new DataView(new ArrayBuffer(0));
  #at = 0;
  #ahead: Promise<NativePortion> | undefined;
  // Calls of next() that wait for a portion come one after the other.
  #chain: Promise<unknown> | undefined;
  #done = false;
  #stopWaiting: (() => void) | undefined;

  constructor(range: ReadRange, source: RowSource<T>) {
    checkRange(range);
    this.#source = source;
    this.#reverse = range.reverse ?? false;
    this.#live = range.live ?? false;
    this.#signal = range.signal;
    this.#first = Math.max(1, range.gte ?? (range.gt ?? 0) + 1);
    const bound = range.lte ?? (range.lt === undefined ? Number.MAX_SAFE_INTEGER : range.lt - 1);
    this.#last = this.#live ? bound : Math.min(bound, source.durableSeq());
    this.#left = range.limit ?? Infinity;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next row, in the order of the calls. */
  next(): Promise<IteratorResult<Row<T>, undefined>> {
    if (this.#chain === undefined && this.#at < this.#bytes.length) {
      if (this.#signal?.aborted !== true) {
        try {
          return Promise.resolve({ value: this.#take(), done: false });
        } catch (error) {
          this.#end();
          return Promise.reject(asError(error));
        }
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

  /** Ends it; called when a loop is left. */
  return(): Promise<IteratorReturnResult<undefined>> {
    this.#end();
    return Promise.resolve({ value: undefined, done: true });
  }

  async #slowNext(): Promise<IteratorResult<Row<T>, undefined>> {
    try {
      while (!this.#done) {
        this.#signal?.throwIfAborted();
        if (this.#at < this.#bytes.length) return { value: this.#take(), done: false };
        if (!(await this.#load())) this.#end();
      }
    } catch (error) {
      this.#end();
      throw error;
    }
    return { value: undefined, done: true };
  }

  // The next portion; false when there is none.
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
    this.#ahead = undefined;
    if (this.#done) return false;
    if (portion.lastSeq === 0) {
      throw new EsporaError('ERR_ESPORA_CORRUPT', 'records that were durable are not there');
    }
    if (this.#reverse) this.#last = portion.lastSeq - 1;
    else this.#first = portion.lastSeq + 1;
    this.#bytes = Buffer.from(portion.bytes);
    this.#view = new DataView(portion.bytes);
    this.#at = 0;
    this.#left -= this.#rows();
    // One ahead, where there certainly is more.
    if (this.#left > 0 && this.#first <= Math.min(this.#last, durable)) this.#request(durable);
    return true;
  }

  #request(durable: number): void {
    const last = Math.min(this.#last, durable);
    const recordsMax = Math.min(this.#left, portionRecordsMax);
    this.#ahead = this.#source.portion({
      first: this.#first,
      last,
      reverse: this.#reverse,
      recordsMax,
    });
    // Whoever awaits it sees the failure; nobody may be there any more.
    this.#ahead.catch(() => undefined);
  }

  #rows(): number {
    let rows = 0;
    for (let at = 0; at < this.#bytes.length; rows++) at = this.#behind(at);
    return rows;
  }

  #behind(at: number): number {
    const length = this.#view.getUint32(at + 16, true);
    return at + deliveredHeaderBytes + ((length + 7) & ~7);
  }

  #take(): Row<T> {
    const at = this.#at;
    const view = this.#view;
    const length = view.getUint32(at + 16, true);
    const start = at + deliveredHeaderBytes;
    this.#at = start + ((length + 7) & ~7);
    return {
      seq: view.getFloat64(at, true),
      time: view.getFloat64(at + 8, true),
      value: this.#source.decode(this.#bytes.subarray(start, start + length)),
    };
  }

  // Until something became durable, the store is closed, the signal aborts, or return() is called.
  async #wait(): Promise<void> {
    this.#source.hold();
    try {
      await new Promise<void>((resolve) => {
        const off = this.#source.onMove(resolve);
        this.#signal?.addEventListener('abort', () => resolve(), { once: true });
        this.#stopWaiting = () => {
          off();
          resolve();
        };
      });
    } finally {
      this.#stopWaiting?.();
      this.#stopWaiting = undefined;
      this.#source.letGo();
    }
  }

  async #orAborted<R>(promise: Promise<R>): Promise<R> {
    const signal = this.#signal;
    if (signal === undefined) return promise;
    let stop!: () => void;
    const aborted = new Promise<never>((_, reject) => {
      stop = () => reject(signal.reason as Error);
      signal.addEventListener('abort', stop, { once: true });
    });
    try {
      return await Promise.race([promise, aborted]);
    } finally {
      signal.removeEventListener('abort', stop);
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
