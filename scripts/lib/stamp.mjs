// Remembers what a build was made of. Contents are compared, not times: a checkout of an older
// commit, a copy that keeps dates, or an edit during the build are all seen for what they are.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { at } from './project.mjs';

/** A digest of the names and contents of `files` (relative to the root) and of some extra facts. */
export function digest(files, facts = []) {
  const hash = createHash('sha256');
  for (const fact of facts) hash.update(`${fact}\0`);
  for (const file of files) {
    const content = readFileSync(at(file));
    hash.update(`${file}\0${content.length}\0`);
    hash.update(content);
  }
  return hash.digest('hex');
}

/** Tells a file from one that replaced it; undefined where there is none. */
export function identity(file) {
  const stat = statSync(at(file), { throwIfNoEntry: false });
  return stat && `${stat.size}-${stat.mtimeMs}-${stat.ino}`;
}

const stampPath = (name) => at('.build', `${name}.stamp`);

export function readStamp(name) {
  try {
    return JSON.parse(readFileSync(stampPath(name), 'utf8'));
  } catch {
    return undefined; // none, or cut short: then the step runs
  }
}

export function removeStamp(name) {
  rmSync(stampPath(name), { force: true });
}

export function writeStamp(name, stamp) {
  mkdirSync(dirname(stampPath(name)), { recursive: true });
  writeFileSync(stampPath(name), `${JSON.stringify(stamp)}\n`);
}
