// "Did you mean …?": the known name nearest to an unknown one.
import { invalid } from '../errors.js';

/** Fewest insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  // Optimal string alignment; `older`, the row before the previous one, is for swaps.
  let older: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1;
      let best = Math.min(
        previous[column]! + 1,
        current[column - 1]! + 1,
        previous[column - 1]! + cost,
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        best = Math.min(best, older[column - 2]! + 1);
      }
      current.push(best);
    }
    older = previous;
    previous = current;
  }
  return previous[b.length]!;
}

/** The nearest of `known`, regardless of case; undefined if none is near enough to be a typing error. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const distanceMax = Math.max(2, Math.floor(name.length / 3));
  let best: string | undefined;
  let bestDistance = distanceMax + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `; did you mean X?` for the nearest name; empty if there is none. */
export function suggestion(name: string, known: Iterable<string>): string {
  const candidate = nearest(name, known);
  return candidate === undefined ? '' : `; did you mean ${candidate}?`;
}

/** Throws ERR_ESPORA_INVALID for an option that `caller` does not have. */
export function refuseUnknown(caller: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const meant = nearest(name, known);
    const end =
      meant === undefined ? `; there are ${known.join(', ')}` : `, did you mean ${meant}?`;
    throw invalid(`${caller} has no option ${name}${end}`);
  }
}
