// What a group measured, as a document of its own in bench/results/: written from reports, and read back
// by what quotes single figures of it. No figure in any document is typed by hand.

import { renderMarkdown } from './render.js';
import type { Report } from './report.js';
import type { Group } from './trial.js';

/** The file of a group's results, from the project's root. */
export const resultsFile = (group: Group): string => `bench/results/${group}.md`;

/** What a group's document holds: where it was measured and each report's table. */
export function blockOf(machine: readonly string[], reports: readonly Report[]): string {
  const parts = [machine.map((line) => `- ${line}`).join('\n'), ...reports.map(renderMarkdown)];
  return parts.join('\n\n');
}

/** The whole document of a group. */
export function resultsOf(group: Group, block: string): string {
  return [
    `# Results of the group \`${group}\``,
    'Written by `npm run bench -- --write`, never by hand. What the trials do, and how they measure, is in ' +
      '[bench/README.md](../README.md).',
    `${block}\n`,
  ].join('\n\n');
}

/** One trial's table as it stands in a document, and its remarks: budgets and notes. */
export interface Measured {
  readonly columns: readonly string[];
  /** Each row whole: a text that the document does not repeat is there again. */
  readonly rows: readonly (readonly string[])[];
  readonly remarks: readonly string[];
}

/** The cells of a table's line. */
const cellsOf = (line: string): string[] =>
  line
    .slice(2, -2)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));

/** A document of results, by trial. */
export function parseResults(text: string): ReadonlyMap<string, Measured> {
  const [, ...sections] = text.split(/^(?=\*\*[\w-]+\*\*: )/m);
  return new Map(
    sections.map((section) => {
      const lines = section.split('\n');
      const name = /^\*\*([\w-]+)\*\*/.exec(lines[0]!)![1]!;
      const [columns = [], , ...rows] = lines.filter((line) => line.startsWith('| ')).map(cellsOf);
      let first = '';
      const whole = rows.map(([begin = '', ...others]) => [(first = begin || first), ...others]);
      const remarks = lines.filter((line) => line.startsWith('- ')).map((line) => line.slice(2));
      return [name, { columns, rows: whole, remarks }] as const;
    }),
  );
}

/** `text` with `block` between the markers of `name`; a RangeError where it has none. */
export function replaceBlock(text: string, name: string, block: string): string {
  const begin = `<!-- ${name} -->`;
  const end = `<!-- /${name} -->`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new RangeError(`there is no "${begin}" before a "${end}"`);
  return `${text.slice(0, from + begin.length)}\n\n${block.trim()}\n\n${text.slice(to)}`;
}
