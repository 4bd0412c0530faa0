// The documents that quote figures of bench/results/, with their tables made anew.

import { replaceBlock, resultsFile } from './results.js';
import { landingTable, summaryOf } from './summary.js';
import type { Language } from './summary.js';
import { groups } from './trial.js';
import type { Group } from './trial.js';

const readmes: Readonly<Record<string, Language>> = {
  'README.md': 'en',
  'README.pt-BR.md': 'pt-BR',
};
const benchReadme = 'bench/README.md';

/** Paths from the project's root. */
export const quotingDocuments: readonly string[] = [benchReadme, ...Object.keys(readmes)];

/**
 * One of these documents as it must be; `read` gives a file's text. A RangeError where a marker or a
 * figure that is quoted is missing.
 */
export function quotedIn(file: string, read: (file: string) => string): string {
  const text = read(file);
  const language = readmes[file];
  const resultsText = (group: Group): string => read(resultsFile(group));
  if (language !== undefined) {
    return replaceBlock(text, 'figures', landingTable(language, resultsText));
  }
  return groups.reduce(
    (made, group) => replaceBlock(made, `results ${group}`, summaryOf(group, resultsText(group))),
    text,
  );
}
