// The decisions of the campaign `mutants`, as pure functions: which mutants are played, which of them are
// known to be equivalent, and the score.
//
// A mutant is { file, number, line, mutant }: the line with that number, from 1, and what stands in its place.

import { shuffled } from '../differential/generate.mjs';

/** A room passes from this share on; with fewer mutants than `enoughForScore` it means nothing. */
export const scoreWanted = 0.85;
export const enoughForScore = 20;

/** For each character of a line, whether it is inside a string. */
function insideStrings(line) {
  const inside = [];
  let quote;
  for (let i = 0; i < line.length; i++) {
    const character = line[i];
    if (quote === undefined) {
      inside.push(false);
      // An apostrophe between digits separates thousands in C++.
      if ('"`'.includes(character)) quote = character;
      else if (character === "'" && !/[\da-f]/i.test(line[i - 1] ?? '')) quote = character;
    } else if (character === quote) {
      inside.push(false);
      quote = undefined;
    } else {
      inside.push(true);
      if (character === '\\' && i + 1 < line.length) {
        inside.push(true);
        i += 1;
      }
    }
  }
  return inside;
}

/** Whether a line is only a part of a text of several lines. */
function isText(line) {
  const inside = insideStrings(line);
  const of = (wanted) => [...line].filter((_, i) => inside[i] === wanted).join('');
  return of(true).includes(' ') && /^["'`+);\s]*$/.test(of(false));
}

/** Whether the first difference of two lines is in a string: texts are not mutated. */
function changesText(line, mutant) {
  if (isText(line)) return true;
  let i = 0;
  while (i < line.length && line[i] === mutant[i]) i++;
  return insideStrings(line)[i] === true;
}

const preprocessor = /^\s*#/;
const declaration = /^\s*(?:import|export \{|using |namespace |static_assert|\/\/|\*|\/\*)/;

/** Whether a mutant is worth compiling: not in text, comments or code that only the compiler uses. */
export function isWorthwhile({ line, mutant }) {
  if (preprocessor.test(line) || declaration.test(line)) return false;
  if (line.trim() === mutant.trim()) return false;
  return !changesText(line, mutant);
}

/** A file's text with a mutant in it; the lines below keep their numbers, which checks print. */
export function mutated(text, { file, number, mutant }) {
  const lines = text.split('\n');
  const resumed = file.endsWith('.cc') && mutant.includes('\n') ? `\n#line ${number + 1}` : '';
  lines[number - 1] = mutant + resumed;
  return lines.join('\n');
}

/** Whether an exit code means a time-out, as timeout(1) reports it. */
export const timedOut = (code) => code === 124 || code === 137;

/**
 * The mutants in the order in which they are tried: each line once, drawn from all lines, with one of its
 * mutants; then each line's next one, and so on. So a line with many mutants has the same weight as others.
 */
export function drawn(mutants, random) {
  const byLine = new Map();
  for (const mutant of mutants) {
    const key = `${mutant.file}:${mutant.number}`;
    byLine.set(key, [...(byLine.get(key) ?? []), mutant]);
  }
  const lines = shuffled(random, byLine.values()).map((all) => shuffled(random, all));
  const most = Math.max(0, ...lines.map((all) => all.length));
  return Array.from({ length: most }, (_, turn) =>
    lines.flatMap((all) => (turn < all.length ? [all[turn]] : [])),
  ).flat();
}

/** The entry for a mutant in the file of equivalent mutants, or undefined. */
export const equivalentTo = (entries, { file, line, mutant }) =>
  entries.find(
    (entry) => entry.file === file && entry.line === line.trim() && entry.mutant === mutant.trim(),
  );

/**
 * The faults of the file of equivalent mutants, one sentence each. `textOf` returns a file's text, or
 * undefined if there is no such file.
 */
export function staleEntries(entries, textOf) {
  return entries.flatMap(({ file, line, mutant, reason }) => {
    const where = `${file}: ${line}`;
    if (![file, line, mutant, reason].every((value) => typeof value === 'string')) {
      return [`${where}: an entry has file, line, mutant and reason.`];
    }
    if (reason.trim() === '') return [`${where}: its reason is missing.`];
    if (line === mutant) return [`${where}: the mutant is the line itself.`];
    const found = textOf(file)
      ?.split('\n')
      .some((each) => each.trim() === line);
    return found === true ? [] : [`${where}: there is no such line any more; remove the entry.`];
  });
}

/** The share of killed mutants among those played that are not known to be equivalent; undefined if none. */
export const scoreOf = ({ killed, survivors }) =>
  killed + survivors.length === 0 ? undefined : killed / (killed + survivors.length);

/** Why a room's result fails the run, or undefined. */
export function complaintOf({ room, killed, survivors }) {
  const played = killed + survivors.length;
  if (played === 0) return `${room}: there was no mutant to play`;
  if (killed === 0) return `${room}: not one of ${played} mutants was killed`;
  if (played < enoughForScore) return undefined;
  const score = scoreOf({ killed, survivors });
  if (score >= scoreWanted) return undefined;
  return `${room}: ${(100 * score).toFixed(0)} % killed, ${100 * scoreWanted} % are wanted`;
}
