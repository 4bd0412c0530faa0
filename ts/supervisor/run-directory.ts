// The directory that holds the services' sockets while they run.
import { mkdirSync, mkdtempSync, rmSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { EsporaError, invalid } from '../errors.js';
import { rootedPath } from '../options/kinds.js';

export interface RunDirectory {
  readonly path: string;
  /** True: a private directory, created by us. */
  readonly isPrivate: boolean;
  /** Removes the directories that we created; never throws. May be called twice. */
  remove(): void;
}

// The longest path in it: `/`, a service's name, and a suffix.
const socketNameBytes = 48;

/**
 * Uses `given`, creating it (0700) if it is missing, or creates a private directory under the system's
 * temporary directory. Throws an EsporaError if that fails or if other users could write to it.
 */
export function openRunDirectory(given?: string): RunDirectory {
  const path = given === undefined ? undefined : rootedPath(given, socketNameBytes);
  try {
    if (path === undefined) {
      // mkdtemp(3) makes it with mode 0700.
      const made = mkdtempSync(join(tmpdir(), 'espora-'));
      return {
        path: made,
        isPrivate: true,
        remove: () => {
          try {
            rmSync(made, { recursive: true, force: true });
          } catch {
            // It stays in the temporary directory; nothing depends on it.
          }
        },
      };
    }
    const whole = resolve(path);
    const first = mkdirSync(whole, { recursive: true, mode: 0o700 });
    const status = statSync(path);
    if (status.uid !== process.getuid!() || (status.mode & 0o022) !== 0) {
      throw invalid(
        `the run directory ${path} is not ours alone: it must belong to this user, and no other user may have the right to write to it`,
      );
    }
    const remove = (): void => {
      if (first !== undefined) removeUpTo(whole, first);
    };
    return { path, isPrivate: false, remove };
  } catch (error) {
    if (error instanceof EsporaError) throw error;
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    const denied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
    throw new EsporaError(
      denied ? 'ERR_ESPORA_PERMISSION' : 'ERR_ESPORA_INVALID',
      path === undefined
        ? `no private directory for sockets can be made in ${tmpdir()} (${code})`
        : `the run directory ${path} cannot be made (${code})`,
    );
  }
}

/** Removes empty directories from `path` upwards to `first`, which is `path` or above it. */
function removeUpTo(path: string, first: string): void {
  for (let each = path; each.startsWith(first); each = dirname(each)) removeIfEmpty(each);
}

/** Removes the directory if it is empty; never throws. */
export function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Not empty: another service still uses it, and removes it later.
  }
}
