// Plain tables: columns two spaces apart, without lines, so that they can be searched with grep.
import Table from 'cli-table3';
import { oneLine } from '../shown.js';

// Nothing around the cells and between the rows.
const edges =
  'top top-mid top-left top-right bottom bottom-mid bottom-left bottom-right left left-mid mid mid-mid right right-mid';
const chars = { ...Object.fromEntries(edges.split(' ').map((edge) => [edge, ''])), middle: '  ' };

export function plainTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    chars,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    head: [...head],
  });
  for (const row of rows) table.push(row.map(oneLine));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
