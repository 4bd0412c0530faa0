// Puts what was measured into bench/README.md, between markers: no figure there is typed by hand.

import type { Group } from './trial.js';

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
