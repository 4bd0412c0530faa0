// Records the inputs of a build. Contents are compared, not dates, so that a checkout of an older commit, a
// copy that keeps dates and an edit during the build are all noticed.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { at } from './project.mjs';

const stampPath = (name) => at('.build', `${name}.stamp`);

/** The digest of each of `files` (relative to the root), by name. */
export function digests(files) {
  return Object.fromEntries(
    files.map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(at(file)))
        .digest('hex'),
    ]),
  );
}

/** Distinguishes a file from one that replaced it; undefined if there is none. */
export function identity(file) {
  const stat = statSync(at(file), { throwIfNoEntry: false });
  return stat && `${stat.size}-${stat.mtimeMs}-${stat.ino}`;
}

/** The stamp that `writeStamp` wrote; undefined if it is missing or incomplete. */
export function readStamp(name) {
  try {
    return JSON.parse(readFileSync(stampPath(name), 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * `inputs` are those of the last successful build; `finished` is false during the next one, so that a killed
 * build is repeated.
 */
export function writeStamp(name, stamp) {
  mkdirSync(dirname(stampPath(name)), { recursive: true });
  writeFileSync(stampPath(name), `${JSON.stringify(stamp)}\n`);
}

/** The first name whose digests differ; undefined if both sets are the same. */
export function difference(before, now) {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...names].find((name) => before[name] !== now[name]);
}

/**
 * Gives files whose contents changed since the last build the current date: make and tsc compare dates, and
 * would not notice a changed file with an old date.
 */
export function dateChanges(before, now) {
  const present = new Date();
  for (const [file, content] of Object.entries(now)) {
    if (before[file] !== content) utimesSync(at(file), present, present);
  }
}
