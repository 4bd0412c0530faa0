// Every error code of espora in one table: what it means, whether the operation may have had an effect,
// the remedy, and the exit code of a program that ends with it. Documents and types derive from it.

export interface ErrorRow {
  /** One sentence for the documents. */
  readonly meaning: string;
  /** True: the operation had no effect. False: it may or may not have had one. */
  readonly definite: boolean;
  /** 1: it may succeed later. 2: wrong usage or an invalid value. 3: the data is bad; never retried. */
  readonly exitCode: 1 | 2 | 3;
  /** What to do about it, if that is the same in every case; follows the message. */
  readonly remedy?: string;
}

const row = (
  exitCode: ErrorRow['exitCode'],
  meaning: string,
  rest: Partial<ErrorRow> = {},
): ErrorRow => ({ meaning, definite: true, exitCode, ...rest });

/**
 * The codes up to `_RESOURCES` are those of `native/sys/status.h`, in its order; the rest belong
 * to the control plane.
 */
export const errorTable = Object.freeze({
  ERR_ESPORA_INVALID: row(2, 'A given value is invalid.'),
  ERR_ESPORA_NOT_FOUND: row(1, 'The file, socket or record does not exist.'),
  ERR_ESPORA_EXISTS: row(1, 'Something is already there.'),
  ERR_ESPORA_LOCKED: row(1, 'Another process has the store open.'),
  ERR_ESPORA_PERMISSION: row(1, 'The operating system does not permit it.', {
    remedy: 'give this user the right to it or choose another place',
  }),
  ERR_ESPORA_ADDRESS_IN_USE: row(1, 'Another process already listens on that address.', {
    remedy: 'stop the process that listens there or choose another port with --port',
  }),
  ERR_ESPORA_UNAVAILABLE: row(1, 'Nothing answers there, or not now.'),
  ERR_ESPORA_NO_SPACE: row(1, 'The disk, a quota or the store is full; nothing was changed.', {
    remedy: 'free some space on that file system, or inodes where there is space left (df -i)',
  }),
  ERR_ESPORA_TOO_LARGE: row(1, 'It is above a limit, which the message gives.'),
  ERR_ESPORA_OVERLOADED: row(1, 'A bounded queue is full.'),
  ERR_ESPORA_IO: row(1, 'A read, write or flush failed.', { definite: false }),
  ERR_ESPORA_CORRUPT: row(3, 'The data on disk contradicts itself.'),
  ERR_ESPORA_VERSION: row(
    3,
    'The data on disk was written by another version or for another purpose.',
    { remedy: 'open it with the version that wrote it or choose another directory with --data' },
  ),
  ERR_ESPORA_INDETERMINATE: row(1, 'It may or may not have happened.', { definite: false }),
  ERR_ESPORA_FAILED: row(
    1,
    'An earlier failure forbids this; a restart recovers from the data on disk.',
  ),
  ERR_ESPORA_CLOSED: row(1, 'The object was closed or stopped.'),
  ERR_ESPORA_UNSUPPORTED: row(1, 'This kernel, file system or version does not support it.'),
  ERR_ESPORA_UNREADABLE: row(3, 'The device does not give stored data back: a read error.'),
  ERR_ESPORA_RESOURCES: row(1, 'No descriptor, memory or thread is left for it.', {
    remedy: 'raise the limit (ulimit -n, ulimit -u, pids.max, memory) or close what is not needed',
  }),
  ERR_ESPORA_ADDON: row(1, 'The native addon is missing or does not fit this Node.js.'),
  ERR_ESPORA_SERVICE: row(1, 'A service that the supervisor started ended before it was ready.'),
} satisfies Record<string, ErrorRow>);

export type ErrorCode = keyof typeof errorTable;

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorTable, code);
}

// Shared by all copies of this module, so that each recognizes the errors of the others.
const brand = Symbol.for('espora.EsporaError');

/** An error with a stable `code`; its message is one sentence without a full stop. */
export class EsporaError extends Error {
  /** True also for errors of other realms and of other copies of this package, which bundlers make. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this !== EsporaError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === 'object' && value !== null && brand in value;
  }

  static {
    Object.defineProperty(this.prototype, brand, { value: true });
  }
  override readonly name = 'EsporaError';
  readonly code: ErrorCode;
  /** True: the operation had no effect. False: it may or may not have had one. */
  readonly definite: boolean;

  /** What to do about it, where the row of the table does not say it. */
  readonly remedy: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options?: ErrorOptions & { readonly remedy?: string },
  ) {
    super(message, options);
    this.code = code;
    this.definite = errorTable[code].definite;
    this.remedy = options?.remedy;
  }
}

/** The error for a given value that is not possible. */
export function invalid(message: string): EsporaError {
  return new EsporaError('ERR_ESPORA_INVALID', message);
}

/**
 * An error of the addon, which has a code of the table, as an EsporaError. Any other error is a bug of
 * espora and is returned unchanged.
 */
export function toEsporaError(error: unknown): unknown {
  // Not by its class: the addon's errors belong to the realm that loaded it.
  if (typeof error !== 'object' || error === null || error instanceof EsporaError) return error;
  const { code, message } = error as { code?: unknown; message?: unknown };
  return isErrorCode(code) ? new EsporaError(code, String(message), { cause: error }) : error;
}

/** Calls the addon; its errors become EsporaErrors. */
export async function callAddon<Result>(call: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    throw toEsporaError(error);
  }
}

/**
 * What was thrown, unchanged, for a promise that rejects with it: it may be an error of another realm, or
 * any value that the caller's code threw.
 */
export function asError(thrown: unknown): Error {
  return thrown as Error;
}

// What to do about a refusal of the operating system, where the errno says more than our code.
const remedies: Readonly<Record<string, string>> = {
  EROFS: 'mount that file system for writing or choose another place',
  EDQUOT: 'delete files that count towards the quota of this user, or have the quota raised',
};

/** The message as a sentence, with the remedy if there is one. */
export function explain(error: EsporaError): string {
  const message = error.message.replace(/\.$/, '');
  const errno = /\((E[A-Z0-9]+)\)$/.exec(message)?.[1] ?? '';
  const remedy = error.remedy ?? remedies[errno] ?? errorTable[error.code].remedy;
  const sentence = remedy === undefined ? message : `${message}; ${remedy}`;
  return sentence.endsWith('?') ? sentence : `${sentence}.`;
}

/** The exit code of a program that ends because of `error`; 1 for an error without a code of the table. */
export function exitCodeOf(error: unknown): 1 | 2 | 3 {
  return error instanceof EsporaError ? errorTable[error.code].exitCode : 1;
}
