// The embedded store: append-only, durable, one writer. All appends of one turn of the event loop are
// submitted in one call and answered together.
//
//   append() ─▶ staging ─(end of the turn)─▶ addon: committer's thread ─▶ one flush ─▶ promises
//
// Encoding runs code of the caller (getters, proxies, iterators), which may call any method. A unit
// therefore has no effect until it is complete, and no other append writes into its memory.
import { loadNative } from '../addon.js';
import { asError, callAddon, EsporaError, invalid, toEsporaError } from '../errors.js';
import type {
  NativeOutcome,
  NativeStore,
  NativeStoreStats,
  NativeVerifyReport,
} from '../native.js';
import { refuseUnknown } from '../options/suggest.js';
import { shown } from '../shown.js';
import { Pending } from './pending.js';
import { RowIterator, type ReadRange, type Row } from './rows.js';
import { rawRecord, type RecordType } from './record.js';
import { Staging } from './staging.js';
import { turnEnd } from './turn-end.js';
import type { Unit } from './unit.js';

/**
 * When writes are flushed to the device: before an append resolves (`'always'`), within some
 * milliseconds after it, or only by `flush` and `close` (`'never'`).
 */
export type Sync = 'always' | { readonly intervalMs: number } | 'never';

/** Options of {@link openStore}. */
export interface StoreOptions<T = Uint8Array> {
  /** The type of the records, made by `record({…})`; bytes if absent. */
  readonly record?: RecordType<T>;
  /** `'always'`. */
  readonly sync?: Sync;
  /** Whether a missing directory or store is created; true. */
  readonly create?: boolean;
  /** Size of a segment's file, for a new store: from 1 MiB to 256 MiB in steps of 256 KiB; 64 MiB. */
  readonly segmentBytes?: number;
  /**
   * Bytes of memory for all appends that wait for the disk, each append or batch counted with 512 bytes
   * more; an append above it is refused with `ERR_ESPORA_OVERLOADED` and has no effect. 64 MiB.
   */
  readonly pendingBytesMax?: number;
}

/** What an append resolves with. */
export interface Appended {
  /** 1, 2, 3, … without gaps. */
  readonly seq: number;
  /** Microseconds since 1970; never decreasing. */
  readonly time: number;
  /** Whether it is on the device; always true with `sync: 'always'`. */
  readonly durable: boolean;
}

/** What a batch resolves with. */
export interface AppendedBatch {
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Number of records. */
  readonly count: number;
  /** The time of all its records, in microseconds since 1970. */
  readonly time: number;
  /** Whether it is on the device; always true with `sync: 'always'`. */
  readonly durable: boolean;
}

/** Counters since the store was opened, unless stated otherwise. */
export interface StoreStats extends NativeStoreStats {
  /** Appends and batches whose promises are not settled yet. */
  readonly pending: number;
  /** Their memory, as `pendingBytesMax` counts it. */
  readonly pendingBytes: number;
}

/** What {@link Store.backup} wrote. */
export interface Backup {
  /** The backup has everything up to here: all that was durable when it began. */
  readonly lastSeq: number;
  readonly records: number;
}

/** What {@link Store.verify} found; `ok` if there is no damage. */
export type VerifyReport = NativeVerifyReport;

const optionNames = ['record', 'sync', 'create', 'segmentBytes', 'pendingBytesMax'];
const pendingBytesMaxDefault = 64 << 20;
// Memory of a waiting append or batch in addition to its bytes: a promise, the functions that settle it,
// reactions to it, entries in queues. Node.js 20 takes 260 to 470 bytes.
const unitCostBytes = 512;
const mebibyte = 1 << 20;
const segmentStep = 256 << 10;

function checkInteger(name: string, value: unknown, min: number, max: number): void {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return;
  throw invalid(`option ${name} must be a whole number from ${min} to ${max}, not ${shown(value)}`);
}

function checkDirectory(of: string, directory: unknown): void {
  if (typeof directory !== 'string' || directory === '' || directory.includes('\0')) {
    throw invalid(`${of}'s directory must be a path, a string that is not empty`);
  }
}

// Reads each option once, so that a getter cannot change it after the check.
function takeOptions<T>(options: StoreOptions<T>) {
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw invalid('the options of openStore must be an object');
  }
  refuseUnknown('openStore', options, optionNames);
  const { record, sync = 'always', create = true, segmentBytes } = options;
  const { pendingBytesMax = pendingBytesMaxDefault } = options;
  let intervalMs: number | undefined;
  if (sync !== 'always' && sync !== 'never') {
    if (typeof sync !== 'object' || (sync as unknown) === null) {
      throw invalid("option sync must be 'always', 'never' or { intervalMs }");
    }
    ({ intervalMs } = sync);
    checkInteger('sync.intervalMs', intervalMs, 1, 86_400_000);
  }
  if (typeof create !== 'boolean') {
    throw invalid(`option create must be true or false, not ${shown(create)}`);
  }
  if (segmentBytes !== undefined) {
    checkInteger('segmentBytes', segmentBytes, mebibyte, 256 * mebibyte);
    if (segmentBytes % segmentStep !== 0) {
      throw invalid(
        `option segmentBytes must be a multiple of ${segmentStep}, not ${segmentBytes}`,
      );
    }
  }
  checkInteger('pendingBytesMax', pendingBytesMax, 1, Number.MAX_SAFE_INTEGER);
  return {
    type: takeType(record ?? (rawRecord as unknown as RecordType<T>)),
    pendingBytesMax,
    native: {
      create,
      sync: typeof sync === 'string' ? sync : ('interval' as const),
      syncIntervalMs: intervalMs,
      segmentBytes,
    },
  };
}

function takeType<T>(given: RecordType<T>): RecordType<T> {
  const { kind, schema, bytesMax, encode, decode } = given as Partial<RecordType<T>>;
  const known =
    typeof kind === 'string' &&
    typeof schema === 'string' &&
    typeof bytesMax === 'number' &&
    typeof encode === 'function' &&
    typeof decode === 'function';
  if (!known) throw invalid('option record must be made by record({ … })');
  return { kind, schema, bytesMax, encode, decode };
}

// The open stores of this thread, which the event `exit` closes: nothing can be awaited then.
const openStores = new Set<{ closeAtExit(): void }>();
function closeAllAtExit(): void {
  for (const store of openStores) store.closeAtExit();
}

/**
 * Opens the store in `directory`, or creates one. Only one process can have it open; tools can read it
 * at the same time. A relative path counts from the working directory at the call; afterwards a rename
 * of the directory does not matter.
 *
 * Rejects with `ERR_ESPORA_LOCKED` (another process has it open), `_NOT_FOUND` (with `create: false`),
 * `_INVALID` (other kind or schema of records, a wrong option), `_VERSION`, `_CORRUPT`,
 * `_UNREADABLE`, `_PERMISSION`, `_IO`, `_NO_SPACE` (a new store, or one whose newest records cannot
 * be secured on a full disk; otherwise an existing store opens there for reading, and appends are
 * refused until there is space).
 */
export async function openStore(directory: string, options?: StoreOptions): Promise<Store>;
export async function openStore<T>(
  directory: string,
  options: StoreOptions<T> & { readonly record: RecordType<T> },
): Promise<Store<T>>;
export async function openStore<T>(
  directory: string,
  options: StoreOptions<T> = {},
): Promise<Store<T>> {
  checkDirectory('a store', directory);
  const { type, pendingBytesMax, native: given } = takeOptions(options);
  const { kind, schema } = type;
  const turns = turnEnd();
  // The addon may report progress before the store object exists.
  const opened: { store?: Store<T> } = {};
  return callAddon(async () => {
    const native = new (loadNative().Store)({ ...given, directory, kind, schema });
    const { unitBytesMax } = await native.open((outcomes) => opened.store?.[progress](outcomes));
    const limits = { unitBytesMax, pendingBytesMax, atTurnEnd: turns.schedule() };
    opened.store = new Store(native, type, limits);
    return opened.store;
  });
}

const progress = Symbol('progress');

/** What {@link Store} needs besides the addon's object. */
interface Limits {
  readonly unitBytesMax: number;
  readonly pendingBytesMax: number;
  /** Calls back when the turn of the event loop ends. */
  readonly atTurnEnd: (callback: () => void) => void;
}

/**
 * An open store. Made by {@link openStore}. All methods may be called at any time; after `close`
 * they reject with `ERR_ESPORA_CLOSED`. After a failed write or flush pending appends reject with
 * `ERR_ESPORA_INDETERMINATE` and later ones with `ERR_ESPORA_FAILED`: close the store, and open it again
 * to see what is on disk.
 */
export class Store<T = Uint8Array> implements AsyncDisposable {
  /** Absolute path of the directory when the store was opened. */
  readonly directory: string;
  readonly #native: NativeStore;
  readonly #type: RecordType<T>;
  readonly #limits: Limits;
  readonly #staging: Staging;
  readonly #pending = new Pending();
  readonly #flushes: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  // Undefined as soon as something is appended after it.
  #newestFlush: Promise<void> | undefined;
  #overloaded: EsporaError | undefined;
  readonly #moved = new Set<() => void>();
  #scheduled = false;
  #held = false;
  #closing: Promise<void> | undefined;
  #closed = false;
  #durableSeq: number;

  // One executor for all promises; its arguments are taken right after the constructor returns.
  #resolve!: (value: never) => void;
  #reject!: (error: unknown) => void;
  readonly #executor = (
    resolve: (value: never) => void,
    reject: (error: unknown) => void,
  ): void => {
    this.#resolve = resolve;
    this.#reject = reject;
  };
  readonly #submitStaged = (): void => this.#submit();

  /** @internal */
  constructor(native: NativeStore, type: RecordType<T>, limits: Limits) {
    this.#native = native;
    this.directory = native.directory;
    this.#type = type;
    this.#limits = limits;
    this.#staging = new Staging();
    this.#durableSeq = native.durableSeq;
    if (openStores.size === 0) process.on('exit', closeAllAtExit);
    openStores.add(this);
  }

  /**
   * Appends one record. Resolves when it is on disk (with `sync: 'always'`; else when it is
   * written, see `durable`). Appends become durable in the order of their calls.
   *
   * Rejects with `ERR_ESPORA_INVALID` (the value), `_TOO_LARGE`, `_OVERLOADED` (more than
   * `pendingBytesMax` waits), `_NO_SPACE`, `_CLOSED` or `_FAILED`: then nothing was stored; or with
   * `_INDETERMINATE`: then a restart shows whether the record was stored.
   */
  append(value: T): Promise<Appended> {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    const unit = this.#staging.begin();
    try {
      unit.add(this.#type.encode, value, 1);
      this.#checkUnit(1, unit.size);
      return this.#stage(unit, 0) as Promise<Appended>;
    } catch (error) {
      return Promise.reject(asError(error));
    } finally {
      this.#staging.end(unit);
    }
  }

  /**
   * Appends records as one unit: after a crash the store has all of them or none. A batch takes at
   * most 1 MiB; a larger one is `ERR_ESPORA_TOO_LARGE`. Otherwise as {@link Store.append}.
   */
  appendBatch(values: Iterable<T>): Promise<AppendedBatch> {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    const unit = this.#staging.begin();
    try {
      if (typeof (values as Partial<Iterable<T>> | null)?.[Symbol.iterator] !== 'function') {
        throw invalid(
          'a batch must be an array of records, or something else that can be iterated',
        );
      }
      const { encode } = this.#type;
      let count = 0;
      for (const value of values) {
        unit.add(encode, value, 0);
        count += 1;
        this.#checkUnit(count, unit.size);
      }
      if (count === 0) throw invalid('a batch needs at least one record');
      unit.close(count);
      return this.#stage(unit, count) as Promise<AppendedBatch>;
    } catch (error) {
      return Promise.reject(asError(error));
    } finally {
      this.#staging.end(unit);
    }
  }

  /**
   * The record with this sequence number; undefined if there is none, if it is not durable yet, or
   * if a repair could not recover it.
   */
  async get(seq: number): Promise<Row<T> | undefined> {
    this.#checkOpen();
    if (!Number.isSafeInteger(seq) || seq < 1) {
      throw invalid(`a sequence number must be a whole number from 1 on, not ${shown(seq)}`);
    }
    for await (const row of this.read({ gte: seq, lte: seq, limit: 1 })) return row;
    return undefined;
  }

  /**
   * Reads records in the order of their sequence numbers, a portion at a time, off the main thread.
   * Shows only durable records: those that were durable at the start, or with `live` also those that
   * become durable later, until the loop is left, `signal` aborts, or the store is closed.
   *
   * A row of bytes is a view into its portion of about 1 MiB: copy bytes that you keep for long.
   */
  read(range: ReadRange = {}): AsyncIterableIterator<Row<T>> {
    this.#checkOpen();
    return new RowIterator<T>(range, {
      decode: this.#type.decode,
      durableSeq: () => this.#durableNow(),
      portion: async (portion) => {
        this.#checkOpen();
        return callAddon(() => this.#native.read(portion));
      },
      closed: () => this.#closing !== undefined,
      native: this.#native,
      onMove: (listener) => {
        this.#moved.add(listener);
        return () => this.#moved.delete(listener);
      },
    });
  }

  /**
   * Resolves when everything that was appended before is on the device. Rejects with
   * `ERR_ESPORA_FAILED` if an append before it was indeterminate.
   */
  flush(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    // Flushes without an append between them share one, so that appends bound the cost of flushes.
    this.#newestFlush ??= new Promise((resolve, reject) => {
      this.#submit();
      this.#flushes.push({ resolve, reject });
      this.#native.flush();
      this.#balanceHold();
    });
    return this.#newestFlush;
  }

  /** Reads and checks everything that was durable at the call; changes nothing. */
  async verify(): Promise<VerifyReport> {
    this.#checkOpen();
    return callAddon(() => this.#native.verify());
  }

  /**
   * Writes everything that was durable at the call into a new store in `directory`, which must be
   * new or empty; appends continue during that time. A relative path counts from the working directory
   * at the call. The new store has the same records, sequences and times, takes less space than this
   * one, and is independent of it: `openStore` opens it. Rejects with `ERR_ESPORA_EXISTS` (not empty),
   * `_CORRUPT` and `_UNREADABLE` (this store is damaged), `_NO_SPACE`, `_IO`; a directory in which
   * a backup failed is not a store.
   */
  async backup(directory: string): Promise<Backup> {
    this.#checkOpen();
    checkDirectory('a backup', directory);
    const { lastSeq, records } = await callAddon(() => this.#native.backup(directory));
    return { lastSeq, records };
  }

  /** Counters, and what is pending at the moment. */
  stats(): StoreStats {
    this.#checkOpen();
    const { size: pending, bytes: pendingBytes } = this.#pending;
    return { ...this.#native.stats(), pending, pendingBytes };
  }

  /** Everything up to this sequence number is on the device; 0: nothing is. Remains after `close`. */
  get durableSeq(): number {
    return this.#durableNow();
  }

  /**
   * Commits and flushes what was appended, and releases the directory. Idempotent: each call
   * returns the same promise. Rejects if that failed; the store is closed nevertheless.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** `await using store = await openStore(…)` closes it at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal At the end of the process: commits what was appended. */
  closeAtExit(): void {
    if (this.#closed) return;
    if (this.#closing === undefined) this.#submit();
    // If another listener keeps the process from ending, later calls are refused.
    this.#closing ??= Promise.resolve();
    this.#native.closeNow();
  }

  async #close(): Promise<void> {
    this.#submit();
    const closed = this.#native.close();
    this.#announce();
    try {
      await closed;
    } catch (error) {
      throw toEsporaError(error);
    } finally {
      this.#durableNow();
      this.#closed = true;
      this.#staging.release();
      this.#moved.clear();
      openStores.delete(this);
      if (openStores.size === 0) process.off('exit', closeAllAtExit);
    }
  }

  #durableNow(): number {
    if (!this.#closed) this.#durableSeq = this.#native.durableSeq;
    return this.#durableSeq;
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw this.#closedError();
  }

  #closedError(): EsporaError {
    return new EsporaError('ERR_ESPORA_CLOSED', `the store in ${this.directory} is closed`);
  }

  // As Engine::reservation_bytes: exact for one record, an upper bound for several.
  #checkUnit(records: number, bytes: number): void {
    const { unitBytesMax } = this.#limits;
    const needed = records === 1 ? bytes : bytes + 8 * records;
    if (needed > unitBytesMax) {
      throw new EsporaError(
        'ERR_ESPORA_TOO_LARGE',
        `${records === 1 ? 'a record' : 'a batch'} of ${needed} bytes, at most ${unitBytesMax} are possible`,
      );
    }
  }

  #checkRoom(bytes: number): void {
    const { pendingBytesMax } = this.#limits;
    const pending = this.#pending.bytes;
    if (pending + bytes > pendingBytesMax && pending > 0) {
      // All refusals share one error until something settles: refusing a burst must not take more
      // memory than the burst would.
      this.#overloaded ??= new EsporaError(
        'ERR_ESPORA_OVERLOADED',
        `${pending} bytes wait for the disk, at most ${pendingBytesMax} may: await some of them first`,
      );
      throw this.#overloaded;
    }
  }

  // No code of the caller runs from here on; earlier it may have closed or filled the store.
  #stage(unit: Unit, count: number): Promise<unknown> {
    this.#checkOpen();
    const { size } = unit;
    const cost = size + unitCostBytes;
    this.#checkRoom(cost);
    const staging = this.#staging;
    const taken = staging.take(unit);
    if (!taken) {
      this.#submit();
      this.#native.submit(unit.bytes, size);
    }
    const promise = new Promise<never>(this.#executor);
    this.#pending.push(this.#resolve, this.#reject, count, cost);
    this.#newestFlush = undefined;
    if (!taken) {
      this.#balanceHold();
    } else if (staging.full) {
      this.#submit();
    } else if (!this.#scheduled) {
      // Runs after this turn's microtasks, so their appends are in the same batch.
      this.#scheduled = true;
      this.#limits.atTurnEnd(this.#submitStaged);
    }
    return promise;
  }

  #submit(): void {
    this.#scheduled = false;
    const staging = this.#staging;
    if (staging.at === 0) return;
    this.#native.submit(staging.bytes, staging.at);
    staging.at = 0;
    this.#balanceHold();
  }

  // Keeps the event loop alive while promises must be settled.
  #balanceHold(): void {
    const hold = this.#pending.size > 0 || this.#flushes.length > 0;
    if (hold === this.#held) return;
    this.#held = hold;
    if (hold) this.#native.hold();
    else this.#native.letGo();
  }

  /** @internal */
  [progress](outcomes: readonly NativeOutcome[]): void {
    this.#overloaded = undefined;
    for (const { units, firstSeq, timeUs, durableSeq, error } of outcomes) {
      const failure = error === undefined ? undefined : toEsporaError(error);
      if (units === 0) {
        const flush = this.#flushes.shift();
        if (this.#flushes.length === 0) this.#newestFlush = undefined;
        if (failure === undefined) flush?.resolve();
        else flush?.reject(failure);
      } else if (failure === undefined) {
        this.#pending.resolve(units, firstSeq, timeUs, durableSeq);
      } else {
        this.#pending.reject(units, failure);
      }
    }
    this.#balanceHold();
    this.#announce();
  }

  #announce(): void {
    for (const listener of [...this.#moved]) listener();
  }
}
