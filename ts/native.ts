// Finds and loads the native addon, and says what it exports. An addon that can't be loaded is one
// error that names every place that was looked at and the command that builds it.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { EsporaError } from './errors.js';
import type {
  Counts,
  databaseMetrics,
  forwarderMetrics,
  upstreamMetrics,
} from './metrics/table.js';
import type { ServiceValues } from './options/table.js';
import { version } from './version.js';

/** What the addon exports. Each class of native/binding adds a member here. */
export interface Native {
  /** The version of the package that the binary was built from. */
  version(): string;
  readonly Database: new (options: NativeDatabaseOptions) => NativeDatabase;
  readonly Forwarder: new (options: NativeForwarderOptions) => NativeForwarder;
  readonly Store: new (options: NativeStoreOptions) => NativeStore;
  /** Checks a store that this process has not open, without changing it. */
  verifyStore(directory: string): Promise<NativeVerifyReport>;
  /**
   * Makes a store in `to`, a new directory, out of the one in `from`, which is not changed. With
   * `giveUp` what cannot be read is left out; otherwise it is an error. `like`: a store of the same
   * kind, for a file STORE that is beyond help.
   */
  copyStore(from: string, to: string, giveUp: boolean, like?: string): Promise<NativeCopyReport>;
  /** Hands over what is in a store, some hundred items at a time; waits while `onItems` runs. */
  inspectStore(
    directory: string,
    options: NativeInspectOptions,
    onItems: (items: NativeStoreItem[]) => void,
  ): Promise<void>;
}

/** Called on the main thread for what a service has to say while it runs. */
export type NativeEventHandler = (name: string, detail: Record<string, unknown>) => void;

export interface NativeStarted {
  port?: number;
  unixSocket?: string;
  addresses: string[];
}

/** The options of the class, by their own names; durations in milliseconds. */
export interface NativeDatabaseOptions extends Omit<ServiceValues<'database'>, 'accounts'> {
  /** To be made; without any, a store has its own, and a new one the contest's. */
  readonly accounts: readonly { readonly id: number; readonly limit: number }[] | undefined;
}

export interface NativeDatabaseStarted extends NativeStarted {
  /** In the store. */
  records: number;
  /** Were whole behind all that is proven durable, and were copied. */
  unprovenRecords: number;
  lastSeq: number;
  openMs: number;
  directIo: boolean;
  fileSystem: string;
  /** 'clean' or 'copied'. */
  tail: string;
  readOnly: boolean;
  /** False: the newest transactions could not be secured, and everything is answered 503. */
  whole: boolean;
  warnings: string[];
}

/** Counters since the start unless said otherwise; all of it is durable when it shows here. */
export type NativeDatabaseStats = Counts<typeof databaseMetrics>;

/**
 * Events: `warning` and `failed`, both `{ message }`. After `failed` what waits gets 503 within a
 * bounded time, and then the process ends by itself with exit code 1.
 */
export interface NativeDatabase {
  start(onEvent: NativeEventHandler): Promise<NativeDatabaseStarted>;
  stop(drainMs: number): Promise<void>;
  /** Empty unless it runs. */
  stats(): Partial<NativeDatabaseStats>;
  /** What it runs with, as the addon understood it: options by their names. */
  settings(): object;
}

export interface NativeUpstream {
  /** `host:port`, or the path of a unix socket with a slash in it. */
  address: string;
  weight: number;
}

/** The options of the class, by their own names; durations in milliseconds. */
export type NativeForwarderOptions = (
  Omit<ServiceValues<'balancer'>, 'name' | 'upstreams'> | Omit<ServiceValues<'api'>, 'name' | 'db'>
) & { readonly name: string; readonly upstreams: readonly NativeUpstream[] };

/** What an operator wants of an upstream; connections that it has are left alone in any case. */
export type UpstreamState = 'up' | 'draining' | 'down';

/**
 * What is known of an upstream. `probation`: was ejected, and one failure ejects it again. `ejected`
 * by failures of sessions, `failed` by checks; both are used only where nobody else is left.
 */
export type UpstreamHealth = 'fit' | 'probation' | 'ejected' | 'failed' | 'unresolved';

/** Counters since the start unless said otherwise. */
export interface NativeUpstreamStats extends Counts<typeof upstreamMetrics> {
  address: string;
  state: UpstreamState;
  health: UpstreamHealth;
}

/** Counters since the start unless said otherwise. */
export interface NativeForwarderStats extends Counts<typeof forwarderMetrics> {
  upstreams: NativeUpstreamStats[];
}

/**
 * Events: `upstream-unreachable` `{ upstream, message }` at the first failure after a success,
 * `upstream-reachable` `{ upstream }` at the first success after a failure, `upstream`
 * `{ upstream, state, health, message }` when its state or health is another, `accept-paused` and
 * `warning` `{ message }`.
 */
export interface NativeForwarder {
  start(onEvent: NativeEventHandler): Promise<NativeStarted>;
  stop(drainMs: number): Promise<void>;
  /** Empty unless it runs. */
  stats(): Partial<NativeForwarderStats>;
  /** What it runs with, as the addon understood it: options by their names. */
  settings(): object;
  /** Whether a client that comes from `address` has to begin with a PROXY header. */
  owesHeader(address: string): boolean;
  /** Reject with _NOT_FOUND where there is no such upstream, and with _CLOSED unless it runs. */
  setUpstream(address: string, change: { state?: UpstreamState; weight?: number }): Promise<void>;
  addUpstream(upstream: NativeUpstream): Promise<void>;
  removeUpstream(address: string): Promise<void>;
}

export interface NativeStoreOptions {
  directory: string;
  create: boolean;
  sync: 'always' | 'interval' | 'never';
  syncIntervalMs?: number;
  segmentBytes?: number;
  kind: string;
  schema: string;
}

/** What became of units in the order of their submission; of a flush where `units` is 0. */
export interface NativeOutcome {
  readonly units: number;
  readonly firstSeq: number;
  readonly timeUs: number;
  readonly durableSeq: number;
  readonly error?: Error;
}

/** Counters since the store was opened, unless said otherwise. */
export interface NativeStoreStats {
  /** Of the newest record that was committed. */
  readonly lastSeq: number;
  /** Everything up to here is on the device. */
  readonly durableSeq: number;
  /** False while the disk is too full to append. */
  readonly appendable: boolean;
  /** Most bytes that one append or batch may take, with 8 to 15 for each record. */
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
  /** Found at opening behind all that is proven durable, and kept. */
  readonly unprovenRecords: number;
  readonly segmentsRewritten: number;
  /** False: writes go through the page cache, a weaker guard against a failing device. */
  readonly directIo: boolean;
  readonly fileSystem: string;
  /** Whether that file system forgets everything when machine or container end. */
  readonly volatile: boolean;
}

/** Both ends included. */
export interface NativePortionOptions {
  first: number;
  last: number;
  reverse: boolean;
  recordsMax: number;
}

export interface NativePortion {
  /** Of each record: seq f64, time f64, length u32, zero u32, its bytes, zeros up to 8. */
  readonly bytes: ArrayBuffer;
  /** Of the last record that was looked at; 0 for none. */
  readonly lastSeq: number;
}

/** One open store; every method but open and closeNow throws `ERR_ESPORA_CLOSED` unless it is open. */
export interface NativeStore {
  open(onProgress: (outcomes: readonly NativeOutcome[]) => void): Promise<NativeStoreStats>;
  /** Whole units in the first `count` of `bytes`, which are copied. */
  submit(bytes: Uint8Array, count: number): void;
  flush(): void;
  read(portion: NativePortionOptions): Promise<NativePortion>;
  /** Of everything that is durable at the call, in the directory that was opened, wherever it is. */
  verify(): Promise<NativeVerifyReport>;
  /** The same into `to`, a new directory. */
  backup(to: string): Promise<NativeCopyReport>;
  /** The event loop stays alive until `letGo` was called as often. */
  hold(): void;
  letGo(): void;
  close(): Promise<void>;
  /** Waits for the committer's end: for the end of the process only. */
  closeNow(): void;
  stats(): NativeStoreStats;
  /** Its path when it was made, absolute. */
  readonly directory: string;
  /** Stays after the end. */
  readonly durableSeq: number;
}

export interface NativeInspectOptions {
  /** First sequence number to show. */
  from?: number;
  /** Most records to show. */
  limit?: number;
  /** Whether to show snapshots, segments and their frames; true. */
  frames?: boolean;
  /** Whether to show records; true. */
  records?: boolean;
}

/** One thing in a store: `kind` is store, snapshot, segment, batch, dense, seal, record, lost or finding. */
export type NativeStoreItem = Readonly<Record<string, unknown>> & { readonly kind: string };

/** Something worth knowing about a store; `damage` if it contradicts itself. */
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
  /** Everything up to here was read: more than `provenSeq` where nobody has the store open. */
  readonly lastSeq: number;
  readonly segments: number;
  /** Of them, rewritten without padding. */
  readonly denseSegments: number;
  readonly snapshots: number;
  /** Sizes of the files of segments and snapshots together. */
  readonly diskBytes: number;
  readonly batches: number;
  readonly seals: number;
  /** Lost ones included. */
  readonly records: number;
  /** That an earlier repair could not read: notes among the findings say which. */
  readonly lostRecords: number;
  readonly payloadBytes: number;
  readonly lastTimeUs: number;
  readonly findings: readonly NativeFinding[];
}

/** Records that were durable and could not be read; both ends included. */
export interface NativeLoss {
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Where the damage is; 0 where it is about no single segment. */
  readonly segment: number;
  readonly block: number;
  readonly reason: string;
}

export interface NativeCopyReport {
  /** Whether the source is, whatever could be read of it. */
  readonly damaged: boolean;
  readonly source: Readonly<Record<string, unknown>>;
  readonly copy: Readonly<Record<string, unknown>>;
  readonly lastSeq: number;
  /** Copied. */
  readonly records: number;
  /** Given up. */
  readonly lost: number;
  readonly losses: readonly NativeLoss[];
  /** What was found in the source. */
  readonly findings: readonly NativeFinding[];
}

/** The oldest C library that a binary built ahead runs on; a test compares it with what was built. */
export const glibcFloor = '2.34';

/** Where an addon may be, and who says so. */
export interface AddonCandidate {
  readonly path: string;
  /** How the place is called in messages. */
  readonly source: string;
}

export interface LoadOptions {
  /** The package's own folder, where there is one. */
  readonly root?: string | undefined;
  /** Where the running file lies: in a bundle, the place of the program. */
  readonly folder?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The version that the binary must be of. */
  readonly version: string;
  /** Which binary built ahead this machine takes, `linux-x64-glibc`; found out where it is absent. */
  readonly target?: string;
}

/** Where the running file lies: the package's dist, or the program that it was bundled into. */
function ownFolder(): string | undefined {
  // A bundle of CommonJS has no URL, and a file name instead.
  const url = import.meta.url as string | undefined;
  if (url?.startsWith('file:') === true) return dirname(fileURLToPath(url));
  return typeof __filename === 'string' ? dirname(__filename) : undefined;
}

function isPackage(folder: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
      name?: unknown;
    };
    return manifest.name === 'espora';
  } catch {
    return false;
  }
}

/**
 * The package's own folder: the one around the running file, or, where that was bundled into a program,
 * the one that the program has installed. What lies around the working directory is anybody's.
 */
export function packageRoot(folder: string | undefined): string | undefined {
  if (folder !== undefined && isPackage(dirname(folder))) return dirname(folder);
  for (const from of [folder, process.argv[1] && dirname(process.argv[1])]) {
    if (from === undefined || from === '') continue;
    try {
      return dirname(createRequire(join(from, 'any.js')).resolve('espora/package.json'));
    } catch {
      // Not installed there.
    }
  }
  return undefined;
}

/** Which C library this Node.js runs on: a binary for one does not load under the other. */
function libc(): 'glibc' | 'musl' {
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  const before = report.excludeNetwork;
  report.excludeNetwork = true; // or a slow name server delays the start
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  report.excludeNetwork = before;
  return header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
}

/** The places in the order in which they are tried; the override, where it is set, is the only one. */
export function* addonCandidates({
  root,
  folder,
  env,
  target = `${process.platform}-${process.arch}-${libc()}`,
}: Omit<LoadOptions, 'version'>): Generator<AddonCandidate, void, undefined> {
  const override = env['ESPORA_ADDON'];
  if (override !== undefined && override !== '') {
    yield { path: resolve(override), source: 'ESPORA_ADDON' };
    return;
  }
  // Of a bundle: what its maker put there, before whatever version of the package is installed.
  if (folder !== undefined && root !== dirname(folder)) {
    yield { path: join(folder, 'espora.node'), source: 'beside the program' };
  }
  if (root !== undefined) {
    yield { path: join(root, 'build/Release/espora.node'), source: 'built here' };
    yield { path: join(root, 'prebuilds', target, 'espora.node'), source: 'built ahead' };
  }
}

function cannotLoad(lines: readonly string[], cause?: unknown): EsporaError {
  const message = [
    "The native addon of espora can't be loaded. Tried:",
    ...lines.map((line) => `  ${line}`),
    'Build it with `npm run build:native` in the folder of the package, or, where that was installed from npm, in a',
    'checkout of the same version, and name what it built (build/Release/espora.node) in ESPORA_ADDON. A program that',
    'espora was bundled into needs the addon next to it, as espora.node, or the package installed. A binary built ahead',
    `needs glibc ${glibcFloor} or later; one that was built here, the glibc it was built with`,
  ].join('\n');
  return new EsporaError('ERR_ESPORA_ADDON', message, cause === undefined ? {} : { cause });
}

/**
 * Loads the first addon that exists. One that exists and does not load, or is of another version, is
 * an error and not a reason to go on: nobody wants to run another binary than the one they built.
 */
export function loadAddonFrom(options: LoadOptions): Native {
  const tried: string[] = [];
  for (const { path, source } of addonCandidates(options)) {
    if (!existsSync(path)) {
      tried.push(`${path} (${source}): no such file`);
      continue;
    }
    let addon: Native;
    try {
      addon = createRequire(path)(path) as Native;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw cannotLoad([...tried, `${path} (${source}): ${reason}`], error);
    }
    const version = typeof addon.version === 'function' ? addon.version() : 'unknown';
    if (version !== options.version) {
      throw cannotLoad([
        ...tried,
        `${path} (${source}): built from version ${version}, this is ${options.version}`,
      ]);
    }
    return addon;
  }
  throw cannotLoad(tried);
}

let loaded: Native | undefined;

/**
 * The addon of this process, loaded at the first call and not before: what needs no addon works
 * without one. Throws `ERR_ESPORA_ADDON`.
 */
export function loadNative(): Native {
  if (loaded === undefined) {
    const folder = ownFolder();
    loaded = loadAddonFrom({ root: packageRoot(folder), folder, env: process.env, version });
  }
  return loaded;
}
