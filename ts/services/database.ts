// The database: HTTP server, ledger and durable store in one process.
import { loadNative } from '../native.js';
import type {
  NativeDatabaseOptions,
  NativeDatabaseStarted,
  NativeDatabaseStats,
} from '../native.js';
import { loadAccounts } from '../options/accounts.js';
import type { ServiceInput, ServiceValues } from '../options/table.js';
import { listeningOf, nativeListen, Service } from './service.js';
import type { Listening, StoreOpened } from './service.js';

/** Options of a Database; all have defaults. */
export type DatabaseOptions = ServiceInput<'database'>;

/** What a database's `start` resolves with. */
export interface DatabaseStarted extends Listening {
  readonly store: StoreOpened;
}

/** Counters of a Database. */
export type DatabaseStats = NativeDatabaseStats;

/** Answers the contest's API out of a durable store; an answer leaves after its flush. */
export class Database extends Service<'database', DatabaseStarted, DatabaseStats> {
  constructor(options: DatabaseOptions = {}) {
    super('database', options, (checked) => {
      const native = new (loadNative().Database)(nativeDatabaseOptions(checked));
      return {
        start: async (onEvent) => report(await native.start(onEvent)),
        stop: (drainMs) => native.stop(drainMs),
        stats: () => native.stats(),
        settings: () => native.settings(),
      };
    });
  }
}

function nativeDatabaseOptions(options: ServiceValues<'database'>): NativeDatabaseOptions {
  const relaxed = options.fsyncInterval > 0;
  return {
    listen: nativeListen(options),
    directory: options.data,
    sync: relaxed ? 'interval' : 'always',
    ...(relaxed ? { syncIntervalMs: options.fsyncInterval } : {}),
    ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
    ...(options.accounts === undefined
      ? {}
      : { accounts: loadAccounts(options.accounts).map(({ id, limit }) => ({ id, limit })) }),
    bodyBytesMax: options.bodyBytesMax,
    headerTimeoutMs: options.headerTimeout,
    bodyTimeoutMs: options.bodyTimeout,
    idleTimeoutMs: options.keepAliveTimeout,
    connectionsMax: options.connectionsMax,
  };
}

// File systems that forget everything when the machine or the container ends.
const forgetful: Readonly<Record<string, string>> = {
  tmpfs: 'memory: a reboot loses everything',
  ramfs: 'memory: a reboot loses everything',
  overlayfs: "a container's own layer: removing the container loses everything; use a volume",
  overlay: "a container's own layer: removing the container loses everything; use a volume",
};

const weaker = 'writes go through the page cache, a weaker guard against a failing device';

// File systems that need room to write over what is there, and what keeps them from it.
const copying: Readonly<Record<string, string>> = {
  btrfs:
    'the segments in use are exempt from it (chattr +C) where the file system allows that, until a snapshot or a reflink shares them',
  zfs: 'give the dataset of the data directory a refreservation',
  bcachefs: 'make the data directory with the option nocow',
};

const unreserved =
  'space that was reserved is not certain there, and transactions are refused (507) where it is missing, so keep some free';

const unsecured =
  'there is no space to secure the newest transactions: every request is answered 503 until there is';

/** @internal What `start` resolves with, and what a person should know of it. */
export function report(started: NativeDatabaseStarted): DatabaseStarted {
  const { records, unprovenRecords, lastSeq, openMs, directIo, fileSystem, tail, readOnly } =
    started;
  const warnings = [...started.warnings];
  const loss = forgetful[fileSystem];
  if (loss !== undefined) warnings.push(`the data directory is on ${fileSystem}, that is ${loss}`);
  // Without a segment to write to nothing was tried.
  else if (!directIo && !readOnly) warnings.push(`${fileSystem} refuses O_DIRECT: ${weaker}`);
  const remedy = copying[fileSystem];
  if (remedy !== undefined) {
    warnings.push(`${fileSystem} copies on write: ${unreserved}; ${remedy}`);
  }
  if (!started.whole) warnings.push(unsecured);
  const found = { records, unprovenRecords, lastSeq, openMs, directIo, fileSystem, tail, readOnly };
  return { ...listeningOf(started), store: { ...found, warnings } };
}
