// The database: HTTP server, ledger and durable store in one process.
import { loadNative } from '../addon.js';
import type { NativeDatabaseStarted, NativeDatabaseStats } from '../native.js';
import { loadAccounts } from '../options/accounts.js';
import type { ServiceInput } from '../options/table.js';
import { Service, type Listening, type StoreOpened } from './service.js';

/** Options of a Database; none is required. */
export type DatabaseOptions = ServiceInput<'database'>;

/** What a database's `start` resolves with. */
export interface DatabaseStarted extends Listening {
  readonly store: StoreOpened;
}

export type DatabaseStats = NativeDatabaseStats;

/** Answers the contest's API from a durable store; an answer leaves after its flush. */
export class Database extends Service<'database', DatabaseStarted, DatabaseStats> {
  constructor(options: DatabaseOptions = {}) {
    super('database', options, (checked) => {
      const { accounts: given } = checked;
      const accounts = given === undefined ? undefined : loadAccounts(given);
      const native = new (loadNative().Database)({ ...checked, accounts });
      return {
        start: async (onEvent) => report(await native.start(onEvent)),
        stop: (drainMs) => native.stop(drainMs),
        stats: () => native.stats(),
        settings: () => native.settings(),
      };
    });
  }
}

// File systems that lose everything when the machine or the container ends.
const forgetful: Readonly<Record<string, string>> = {
  tmpfs: 'memory: a reboot loses everything',
  ramfs: 'memory: a reboot loses everything',
  overlayfs: "a container's own layer: removing the container loses everything; use a volume",
  overlay: "a container's own layer: removing the container loses everything; use a volume",
};

const weaker = 'writes go through the page cache, a weaker guard against a failing device';

// File systems that need space to overwrite data, and how to avoid that.
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

/** @internal What `start` resolves with, its warnings included. */
export function report(started: NativeDatabaseStarted): DatabaseStarted {
  const { port, unixSocket, addresses, whole, warnings: told, ...found } = started;
  const { directIo, fileSystem, readOnly } = found;
  const warnings = [...told];
  const loss = forgetful[fileSystem];
  if (loss !== undefined) warnings.push(`the data directory is on ${fileSystem}, that is ${loss}`);
  // Without a segment to write to, O_DIRECT was not tried.
  else if (!directIo && !readOnly) warnings.push(`${fileSystem} refuses O_DIRECT: ${weaker}`);
  const remedy = copying[fileSystem];
  if (remedy !== undefined) {
    warnings.push(`${fileSystem} copies on write: ${unreserved}; ${remedy}`);
  }
  if (!whole) warnings.push(unsecured);
  return {
    ...(port === undefined ? {} : { port }),
    ...(unixSocket === undefined ? {} : { unixSocket }),
    addresses,
    store: { ...found, warnings },
  };
}
