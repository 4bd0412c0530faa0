// Puts what was measured into bench/README.md, between markers: no figure there is typed by hand.

import { hasPlot } from './plot.js';
import { renderMarkdown } from './render.js';
import type { Report } from './report.js';
import type { Group } from './trial.js';

/** What a group's block holds: where it was measured, each report's table, and its plot if it has one. */
export function blockOf(machine: readonly string[], reports: readonly Report[]): string {
  const parts = reports.flatMap((report) => [
    renderMarkdown(report),
    ...(hasPlot(report) ? [`![${report.trial}: ${report.title}](plots/${report.trial}.svg)`] : []),
  ]);
  return [machine.map((line) => `- ${line}`).join('\n'), ...parts].join('\n\n');
}

/** `text` with `block` between the markers of `group`; a RangeError where it has none. */
export function replaceBlock(text: string, group: Group, block: string): string {
  const begin = `<!-- bench ${group} -->`;
  const end = `<!-- /bench ${group} -->`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) {
    throw new RangeError(`bench/README.md has no "${begin}" before a "${end}"`);
  }
  return `${text.slice(0, from + begin.length)}\n\n${block.trim()}\n\n${text.slice(to)}`;
}
