// The directory that holds the services' sockets while they run.
import { mkdirSync, mkdtempSync, rmSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { EsporaError, invalid } from '../errors.js';
import { rootedPath } from '../options/kinds.js';

/** A directory for sockets. */
export interface RunDirectory {
  readonly path: string;
  /** True: private, made by us with all that will be in it. */
  readonly isPrivate: boolean;
  /** Removes what we made of it; never throws. May be called twice. */
  remove(): void;
}

// What is to be in it: `/`, a service's name, and what stands behind that.
const socketNameBytes = 48;

/**
 * Uses `given`, making it (0700) where it is missing, or makes a private one under the system's
 * temporary directory. Throws an EsporaError if that fails or others could write to it.
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
            // Left behind in the temporary directory; nothing depends on it.
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

/** Removes the directory if nothing is in it any more; never throws. */
export function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Not empty: another service still uses it and is the one to remove it.
  }
}
