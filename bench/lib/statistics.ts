// What becomes of measurements: medians and ranges over rounds, ratios round by round, and the order
// in which contestants take their turns.

/** The median of several rounds, and their range. */
export interface Figure {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

/**
 * The value below which `fraction` (0 to 1) of `values` lie, by linear interpolation between the two
 * nearest; they need no order. NaN for none.
 */
export function quantile(values: ArrayLike<number>, fraction: number): number {
  if (values.length === 0) return NaN;
  const sorted = Float64Array.from(values).sort();
  const position = fraction * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (position - below);
}

export const median = (values: ArrayLike<number>): number => quantile(values, 0.5);

export function figureOf(values: readonly number[]): Figure {
  if (values.length === 0) throw new RangeError('a figure of no rounds');
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    rounds: values.length,
  };
}

/** `values` over `base`, each round over the same round: what both suffered then cancels out. */
export function ratioOf(values: readonly number[], base: readonly number[]): Figure {
  if (values.length !== base.length) throw new RangeError('a ratio of different rounds');
  return figureOf(values.map((value, round) => value / base[round]!));
}

/**
 * Lets every player play in turn, `rounds` times (A B C, A B C, …), never two at once, so that a
 * machine that slows down slows all of them down. Returns each player's rounds.
 */
export async function takeTurns<Result>(
  players: readonly (() => Result | Promise<Result>)[],
  rounds: number,
): Promise<Result[][]> {
  const results: Result[][] = players.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, play] of players.entries()) results[index]!.push(await play());
  }
  return results;
}
