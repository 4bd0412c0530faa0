// The places in the checkout that this file belongs to, and lists of its files.

import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** An absolute path from one relative to the project's root. */
export const at = (...parts) => join(root, ...parts);

export const binary = 'build/Release/espora.node';

/** Folders of sources, and of the output of `tsc -b`. */
export const typescriptProjects = [
  { source: 'ts', output: 'dist' },
  { source: 'lab', output: 'dist/lab' },
  { source: 'contest', output: 'dist/contest' },
  { source: 'test', output: '.build/test' },
  { source: 'bench', output: '.build/bench' },
];

/** Every file below `folder` that `keep` accepts, relative to the root, sorted; [] without the folder. */
export function filesBelow(folder, keep) {
  let entries;
  try {
    entries = readdirSync(at(folder), { withFileTypes: true, recursive: true });
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
  return entries
    .filter((entry) => entry.isFile() && keep(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1))
    .sort();
}
