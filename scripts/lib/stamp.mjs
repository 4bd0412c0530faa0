// Remembers what a build was made of. Contents are compared, not dates: a checkout of an older commit,
// a copy that keeps dates, or an edit during the build are all seen for what they are.

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

/** Tells a file from one that replaced it; undefined where there is none. */
export function identity(file) {
  const stat = statSync(at(file), { throwIfNoEntry: false });
  return stat && `${stat.size}-${stat.mtimeMs}-${stat.ino}`;
}

/** What `writeStamp` left; undefined where there is nothing, or something cut short. */
export function readStamp(name) {
  try {
    return JSON.parse(readFileSync(stampPath(name), 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * `inputs` are those of the last build that succeeded; `finished` turns false while the next one is
 * under way, so that one that was killed is done again.
 */
export function writeStamp(name, stamp) {
  mkdirSync(dirname(stampPath(name)), { recursive: true });
  writeFileSync(stampPath(name), `${JSON.stringify(stamp)}\n`);
}

/** The first name under which two sets of digests differ; undefined where they are the same. */
export function difference(before, now) {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...names].find((name) => before[name] !== now[name]);
}

/**
 * make and tsc compare dates. A file whose contents changed since the last build gets the present
 * one, or they would overlook a change that came with an old date.
 */
export function dateChanges(before, now) {
  const present = new Date();
  for (const [file, content] of Object.entries(now)) {
    if (before[file] !== content) utimesSync(at(file), present, present);
  }
}
