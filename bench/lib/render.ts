// Reports as tables: for a terminal, and as Markdown.

import Table from 'cli-table3';
import type { Budget, Column, Report, Value } from './report.js';
import type { Figure } from './statistics.js';

/** Three significant digits, thousands apart; never an exponent. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  const rounded = Number(value.toPrecision(3));
  const digits = Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded)))));
  return rounded.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

function formatFigure({ median, min, max, rounds }: Figure, suffix: string): string {
  const range = rounds > 1 ? ` (${formatNumber(min)}–${formatNumber(max)})` : '';
  return `${formatNumber(median)}${suffix}${range}`;
}

function formatValue(value: Value | undefined, suffix = ''): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return value;
  return typeof value === 'number'
    ? `${formatNumber(value)}${suffix}`
    : formatFigure(value, suffix);
}

export function formatBudget({ what, measured, comparison, limit, holds }: Budget): string {
  const verdict = holds ? 'holds' : 'does NOT hold';
  return `${what}: ${formatFigure(measured, '')}, budget ${comparison} ${limit}: ${verdict}`;
}

/** A column is numeric, and aligned to the right, unless it holds a text. */
const isText = ({ key }: Column, { rows }: Report): boolean =>
  rows.some((row) => typeof row[key] === 'string');

/** Rows as texts. A text in the first column is not repeated under itself. */
function cellsOf({ columns, rows }: Report): string[][] {
  const first = columns[0]!.key;
  return rows.map((row, index) =>
    columns.map(({ key, suffix }) =>
      key === first && row[key] === rows[index - 1]?.[key] ? '' : formatValue(row[key], suffix),
    ),
  );
}

export function renderTerminal(report: Report): string {
  const table = new Table({
    head: report.columns.map(({ title }) => title),
    colAligns: report.columns.map((column) => (isText(column, report) ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  for (const row of cellsOf(report)) table.push(row);
  const lines = [`${report.trial}: ${report.title}`, table.toString()];
  for (const entry of report.budgets) lines.push(`  ${formatBudget(entry)}`);
  for (const note of report.notes) lines.push(`  ${note}`);
  return lines.join('\n');
}

export function renderMarkdown(report: Report): string {
  const escape = (text: string): string => text.replaceAll('|', '\\|');
  const line = (cells: readonly string[]): string => `| ${cells.map(escape).join(' | ')} |`;
  const lines = [
    `**${report.trial}**: ${report.title}`,
    '',
    line(report.columns.map(({ title }) => title)),
    line(report.columns.map((column) => (isText(column, report) ? '---' : '---:'))),
    ...cellsOf(report).map(line),
  ];
  const remarks = [...report.budgets.map(formatBudget), ...report.notes];
  if (remarks.length > 0) lines.push('', ...remarks.map((remark) => `- ${remark}`));
  return lines.join('\n');
}
