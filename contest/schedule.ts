// The arrivals of users, computed before anything is sent: an open workload, in which no user waits for
// the answers of others. Counts and instants are those of the contest's tool (Gatling 3.10), so that the
// same bursts reach the service: whole users per second, and in each second whole milliseconds.

/** A rate that changes linearly from one value to another; both may be the same. */
export interface RateStep {
  readonly fromPerSecond: number;
  readonly toPerSecond: number;
  readonly seconds: number;
}

/** Arrivals in order of time; those of the same instant in order of their streams. */
export interface Arrivals {
  /** Milliseconds after the start, ascending. */
  readonly atMs: Float64Array<ArrayBuffer>;
  /** For each arrival the index of its stream. */
  readonly stream: Uint8Array<ArrayBuffer>;
}

// A rounding error in sums of decimal fractions must not lose a whole user.
const roundingTolerance = 1e-9;

/**
 * Users who have arrived `elapsedSeconds` into a step: the whole part of the rate's integral.
 * The fraction of a user that is left is carried over between seconds, and lost at the end of the step.
 */
function usersBy(
  { fromPerSecond, toPerSecond, seconds }: RateStep,
  elapsedSeconds: number,
): number {
  if (seconds === 0) return 0;
  const slope = (toPerSecond - fromPerSecond) / seconds;
  const integral = fromPerSecond * elapsedSeconds + (slope * elapsedSeconds * elapsedSeconds) / 2;
  return Math.floor(integral + roundingTolerance);
}

/** Users of all steps. */
export function usersOf(steps: readonly RateStep[]): number {
  return steps.reduce((sum, step) => sum + usersBy(step, step.seconds), 0);
}

/**
 * The milliseconds at which `users` arrive within `milliseconds` (1000, or the rest of a step). If one is
 * not a multiple of the other, the rarer kind of millisecond (with one user more, or one less) follows each
 * run of the other kind, and the rest goes to the end. So of 220 users a second one arrives every 4 ms for
 * 880 ms, and the last 120 ms are empty: for most of each second the service gets more than the rate.
 */
export function spread(users: number, milliseconds = 1000): number[] {
  const few = Math.floor(users / milliseconds);
  const withMore = users % milliseconds;
  const rareHasMore = withMore < milliseconds - withMore;
  const rare = rareHasMore ? withMore : milliseconds - withMore;
  const run = rare === 0 ? milliseconds : Math.floor((milliseconds - rare) / rare);
  const at: number[] = [];
  for (let millisecond = 0; millisecond < milliseconds; millisecond++) {
    const inPattern = millisecond < rare * (run + 1);
    // Within a pattern, milliseconds with more users come first.
    const isRare = inPattern && millisecond % (run + 1) === (rareHasMore ? 0 : run);
    const here = few + (isRare === rareHasMore ? 1 : 0);
    for (let user = 0; user < here; user++) at.push(millisecond);
  }
  return at;
}

/** The instants, in milliseconds after the start, at which the users of these steps arrive. */
export function instantsOf(steps: readonly RateStep[]): number[] {
  const instants: number[] = [];
  let stepStartMs = 0;
  for (const step of steps) {
    for (let second = 0; second < step.seconds; second++) {
      const end = Math.min(second + 1, step.seconds);
      const users = usersBy(step, end) - usersBy(step, second);
      const milliseconds = Math.max(1, Math.round((end - second) * 1000));
      for (const at of spread(users, milliseconds)) instants.push(stepStartMs + second * 1000 + at);
    }
    stepStartMs += step.seconds * 1000;
  }
  return instants;
}

/** The arrivals of several streams that start together. */
export function arrivalsOf(streams: readonly { readonly steps: readonly RateStep[] }[]): Arrivals {
  const all = streams.flatMap(({ steps }, stream) =>
    instantsOf(steps).map((atMs) => ({ atMs, stream })),
  );
  all.sort((a, b) => a.atMs - b.atMs || a.stream - b.stream);
  return {
    atMs: Float64Array.from(all, ({ atMs }) => atMs),
    stream: Uint8Array.from(all, ({ stream }) => stream),
  };
}

/** The arrivals of each `ms`, in milliseconds after its own start; may be empty. */
export function piecesOf({ atMs, stream }: Arrivals, ms: number): Arrivals[] {
  const pieces: Arrivals[] = [];
  for (let begin = 0; begin < atMs.length;) {
    const startMs = Math.floor(atMs[begin]! / ms) * ms;
    let end = begin + 1;
    while (end < atMs.length && atMs[end]! < startMs + ms) end++;
    pieces.push({
      atMs: atMs.slice(begin, end).map((at) => at - startMs),
      stream: stream.slice(begin, end),
    });
    begin = end;
  }
  return pieces;
}
