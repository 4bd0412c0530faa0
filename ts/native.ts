// What the native addon exports: the types of its functions and classes.
import type {
  Counts,
  databaseMetrics,
  forwarderMetrics,
  upstreamMetrics,
} from './metrics/table.js';
import type { Weighted } from './options/kinds.js';
import type { ServiceValues } from './options/table.js';

/** What the addon exports; each class of native/binding is a member. */
export interface Native {
  /** The version of the package that the binary was built from. */
  version(): string;
  readonly Database: new (options: NativeDatabaseOptions) => NativeDatabase;
  readonly Forwarder: new (options: NativeForwarderOptions) => NativeForwarder;
  readonly Store: new (options: NativeStoreOptions) => NativeStore;
  /** Checks a store that this process does not have open, without changing it. */
  verifyStore(directory: string): Promise<NativeVerifyReport>;
  /**
   * Copies the store in `from`, which is not changed, into the new directory `to`. With `giveUp`,
   * records that cannot be read are left out; otherwise they are an error. `like`: a store of the same
   * kind, needed if the file STORE cannot be read.
   */
  copyStore(from: string, to: string, giveUp: boolean, like?: string): Promise<NativeCopyReport>;
  /** Reports what is in a store, some hundred items at a time; waits while `onItems` runs. */
  inspectStore(
    directory: string,
    options: NativeInspectOptions,
    onItems: (items: NativeStoreItem[]) => void,
  ): Promise<void>;
}

/** Called on the main thread for each event of a running service. */
export type NativeEventHandler = (name: string, detail: Record<string, unknown>) => void;

/** Where a started service listens. */
export interface Listening {
  /**
   * The TCP port, if it listens on one: the kernel's choice for port 0, that of an inherited socket if
   * the service has none of its own.
   */
  readonly port?: number;
  /** Path of the unix socket, if it listens on one. */
  readonly unixSocket?: string;
  /**
   * Every address for clients, as the kernel reports it: `host:port`, `[v6]:port`, a path; `@name` for a
   * unix socket without a path. TCP first, then the unix socket, then inherited sockets.
   */
  readonly addresses: readonly string[];
}

/** What the database found when it opened its store. */
export interface StoreOpened {
  /** Transactions in the store. */
  readonly records: number;
  /** Of these, the ones found complete behind the proven end of the log and made durable now. */
  readonly unprovenRecords: number;
  /** Highest sequence number; 0 in an empty store. */
  readonly lastSeq: number;
  /** How long opening took, in milliseconds. */
  readonly openMs: number;
  /**
   * False: the file system refused O_DIRECT and the page cache is used, which is weaker; or `readOnly`,
   * where it was not tried.
   */
  readonly directIo: boolean;
  readonly fileSystem: string;
  /** How the log ended: `clean`, or `copied` (some records were unproven). */
  readonly tail: string;
  /** True: there is no space for a new segment; the store can only be read. */
  readonly readOnly: boolean;
  /** What an operator should know, one sentence each. */
  readonly warnings: readonly string[];
}

export interface NativeService<Started, Stats> {
  /** `onEvent` is called until the service has stopped. */
  start(onEvent: NativeEventHandler): Promise<Started>;
  stop(drainMs: number): Promise<void>;
  /** Empty unless the service runs. */
  stats(): Partial<Stats>;
  /** The options in force, as the addon understood them, by name. */
  settings(): object;
  /** Of a forwarder: whether a client that comes from `address` must send a PROXY header. */
  owesHeader?(address: string): boolean;
}

/** The options of the class; durations in milliseconds. */
export interface NativeDatabaseOptions extends Omit<ServiceValues<'database'>, 'accounts'> {
  /** Accounts to create; undefined: a store keeps its own, and a new one gets the contest's. */
  readonly accounts: readonly { readonly id: number; readonly limit: number }[] | undefined;
}

export interface NativeDatabaseStarted extends Listening, StoreOpened {
  /** False: the newest transactions could not be secured, and every request is answered 503. */
  readonly whole: boolean;
}

/** Counters since the start unless stated otherwise; they count only what is durable. */
export type NativeDatabaseStats = Counts<typeof databaseMetrics>;

/**
 * Events: `warning` and `failed`, both `{ message }`. After `failed`, waiting requests get 503 within a
 * bounded time, and then the process exits by itself with exit code 1.
 */
export type NativeDatabase = NativeService<NativeDatabaseStarted, NativeDatabaseStats>;

/** The options of the class; durations in milliseconds. */
export type NativeForwarderOptions = (
  Omit<ServiceValues<'balancer'>, 'name' | 'upstreams'> | Omit<ServiceValues<'api'>, 'name' | 'db'>
) & { readonly name: string; readonly upstreams: readonly Weighted[] };

/** The state that an operator set; a change leaves open connections alone. */
export type UpstreamState = 'up' | 'draining' | 'down';

/**
 * The health of an upstream. `probation`: it was ejected, and one failure ejects it again. `ejected`:
 * because of failed sessions; `failed`: because of failed checks; such an upstream is used only if no
 * other is left.
 */
export type UpstreamHealth = 'fit' | 'probation' | 'ejected' | 'failed' | 'unresolved';

/** Counters since the start unless stated otherwise. */
export interface NativeUpstreamStats extends Counts<typeof upstreamMetrics> {
  address: string;
  state: UpstreamState;
  health: UpstreamHealth;
}

/** Counters since the start unless stated otherwise. */
export interface NativeForwarderStats extends Counts<typeof forwarderMetrics> {
  upstreams: NativeUpstreamStats[];
}

/**
 * Events: `upstream-unreachable` `{ upstream, message }` at the first failure after a success,
 * `upstream-reachable` `{ upstream }` at the first success after a failure, `upstream`
 * `{ upstream, state, health, message }` when its state or health changes, `accept-paused` and
 * `warning` `{ message }`.
 */
export interface NativeForwarder extends NativeService<Listening, NativeForwarderStats> {
  owesHeader(address: string): boolean;
  /** These reject with _NOT_FOUND if there is no such upstream, and with _CLOSED unless the service runs. */
  setUpstream(address: string, change: { state?: UpstreamState; weight?: number }): Promise<void>;
  addUpstream(upstream: Weighted): Promise<void>;
  removeUpstream(address: string): Promise<void>;
}

export interface NativeStoreOptions {
  directory: string;
  create: boolean;
  sync: 'always' | 'interval' | 'never';
  syncIntervalMs?: number | undefined;
  segmentBytes?: number | undefined;
  kind: string;
  schema: string;
}

/** The outcome of the next `units` in the order of their submission; of a flush if `units` is 0. */
export interface NativeOutcome {
  readonly units: number;
  readonly firstSeq: number;
  readonly timeUs: number;
  readonly durableSeq: number;
  readonly error?: Error;
}

/** Counters since the store was opened, unless stated otherwise. */
export interface NativeStoreStats {
  /** Sequence number of the newest committed record. */
  readonly lastSeq: number;
  /** Everything up to here is on the device. */
  readonly durableSeq: number;
  /** False while the disk is too full to append. */
  readonly appendable: boolean;
  /** Most bytes of one append or batch, with 8 to 15 bytes for each of its records. */
  readonly unitBytesMax: number;
  readonly records: number;
  /** Writes; each but the last is flushed before the next. */
  readonly batches: number;
  readonly flushes: number;
  readonly bytesWritten: number;
  readonly seals: number;
  /** Number of the current segment. */
  readonly segment: number;
  readonly segmentBytes: number;
  /** Records found at opening behind the proven end of the log, and kept. */
  readonly unprovenRecords: number;
  readonly segmentsRewritten: number;
  /** False: writes go through the page cache, a weaker guard against a failing device. */
  readonly directIo: boolean;
  readonly fileSystem: string;
  /** Whether that file system loses everything when the machine or the container ends. */
  readonly volatile: boolean;
}

/** `first` and `last` are included. */
export interface NativePortionOptions {
  first: number;
  last: number;
  reverse: boolean;
  recordsMax: number;
}

export interface NativePortion {
  /** For each record: seq f64, time f64, length u32, zero u32, its bytes, zeros up to a multiple of 8. */
  readonly bytes: ArrayBuffer;
  /** Sequence number of the last record that was read; 0: there was none. */
  readonly lastSeq: number;
}

/** One store; every method except open and closeNow throws `ERR_ESPORA_CLOSED` unless it is open. */
export interface NativeStore {
  open(onProgress: (outcomes: readonly NativeOutcome[]) => void): Promise<NativeStoreStats>;
  /** Submits the complete units in the first `count` of `bytes`, which are copied. */
  submit(bytes: Uint8Array, count: number): void;
  flush(): void;
  read(portion: NativePortionOptions): Promise<NativePortion>;
  /** Checks everything that is durable at the call, in the opened directory, even if it was renamed. */
  verify(): Promise<NativeVerifyReport>;
  /** Copies the same into `to`, a new directory. */
  backup(to: string): Promise<NativeCopyReport>;
  /** Keeps the event loop alive until `letGo` was called as often. */
  hold(): void;
  letGo(): void;
  close(): Promise<void>;
  /** Blocks until the committer has ended; only for the end of the process. */
  closeNow(): void;
  stats(): NativeStoreStats;
  /** Absolute path of the directory when the object was made. */
  readonly directory: string;
  /** Remains after the store is closed. */
  readonly durableSeq: number;
}

export interface NativeInspectOptions {
  /** First sequence number to show. */
  from?: number | undefined;
  /** Most records to show. */
  limit?: number | undefined;
  /** Whether to show snapshots, segments and their frames; default true. */
  frames?: boolean | undefined;
  /** Whether to show records; default true. */
  records?: boolean | undefined;
}

/** One thing in a store: `kind` is store, snapshot, segment, batch, dense, seal, record, lost or finding. */
export type NativeStoreItem = Readonly<Record<string, unknown>> & { readonly kind: string };

/** A finding in a store; `damage` if the store contradicts itself. */
export interface NativeFinding {
  readonly severity: 'note' | 'damage';
  readonly segment: number;
  readonly block: number;
  readonly seq: number;
  readonly text: string;
}

export interface NativeVerifyReport {
  /** Whether there is no damage. */
  readonly ok: boolean;
  readonly store: Readonly<Record<string, unknown>>;
  /** Everything up to this sequence was proven durable. */
  readonly provenSeq: number;
  /** Everything up to here was read: more than `provenSeq` only if no process has the store open. */
  readonly lastSeq: number;
  readonly segments: number;
  /** Segments that were rewritten without padding. */
  readonly denseSegments: number;
  readonly snapshots: number;
  /** Sizes of the files of segments and snapshots together. */
  readonly diskBytes: number;
  readonly batches: number;
  readonly seals: number;
  /** Lost records included. */
  readonly records: number;
  /** Records that an earlier repair could not read; notes among the findings name them. */
  readonly lostRecords: number;
  readonly payloadBytes: number;
  readonly lastTimeUs: number;
  readonly findings: readonly NativeFinding[];
}

/** Records that were durable and could not be read; `firstSeq` and `lastSeq` are included. */
export interface NativeLoss {
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Where the damage is; 0 if it is not in a single segment. */
  readonly segment: number;
  readonly block: number;
  readonly reason: string;
}

export interface NativeCopyReport {
  /** Whether the source is damaged, even if every record could be read. */
  readonly damaged: boolean;
  readonly source: Readonly<Record<string, unknown>>;
  readonly copy: Readonly<Record<string, unknown>>;
  readonly lastSeq: number;
  /** Records copied. */
  readonly records: number;
  /** Records that could not be copied. */
  readonly lost: number;
  readonly losses: readonly NativeLoss[];
  /** Findings in the source. */
  readonly findings: readonly NativeFinding[];
}
