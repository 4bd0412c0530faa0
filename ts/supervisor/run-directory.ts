// The directory that holds the services' sockets while they run.
import { mkdirSync, mkdtempSync, rmSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EsporaError } from '../errors.js';

/** A directory for sockets. */
export interface RunDirectory {
  readonly path: string;
  /** True: made by us, to be removed at the end. */
  readonly made: boolean;
  /** Removes it if it was made by us; never throws. May be called twice. */
  remove(): void;
}

/**
 * Uses `path`, making it (0700) where it is missing, or makes a private one under the system's
 * temporary directory. Throws an EsporaError if that fails or others could write to it.
 */
export function openRunDirectory(path?: string): RunDirectory {
  try {
    if (path === undefined) {
      // mkdtemp(3) makes it with mode 0700.
      const made = mkdtempSync(join(tmpdir(), 'espora-'));
      return {
        path: made,
        made: true,
        remove: () => {
          try {
            rmSync(made, { recursive: true, force: true });
          } catch {
            // Left behind in the temporary directory; nothing depends on it.
          }
        },
      };
    }
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const status = statSync(path);
    if (status.uid !== process.getuid!() || (status.mode & 0o022) !== 0) {
      throw new EsporaError(
        'ERR_ESPORA_INVALID',
        `the run directory ${path} is not ours alone: it must belong to this user and be writable by nobody else`,
      );
    }
    return { path, made: false, remove: () => undefined };
  } catch (error) {
    if (error instanceof EsporaError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new EsporaError(
      code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
        ? 'ERR_ESPORA_PERMISSION'
        : 'ERR_ESPORA_INVALID',
      `the run directory${path === undefined ? '' : ` ${path}`} cannot be made: ${message}`,
    );
  }
}

/** Removes the directory if nothing is in it any more; never throws. */
export function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Not empty: another service still uses it and is the one to remove it.
  }
}
