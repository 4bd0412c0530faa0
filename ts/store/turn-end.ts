// Calls back when a turn of the event loop ends, even where `process.nextTick` was replaced, as the fake
// clocks of test runners do.

// The function at the time of loading; a later replacement is not used.
// eslint-disable-next-line @typescript-eslint/unbound-method -- it does not use `this`
const { nextTick } = process;
const settled = Promise.resolve();

/** Schedules a callback. */
export type AtTurnEnd = (callback: () => void) => void;

// Promise jobs belong to the engine and cannot be replaced. They are the second choice, because such a
// callback runs before later jobs of the same turn.
const asJob: AtTurnEnd = (callback) => {
  void settled.then(callback);
};

/**
 * Finds out whether `nextTick` calls back: it may have been replaced before this was loaded. Call
 * `schedule` in a later turn; it returns the function to use from then on.
 */
export function turnEnd(): { schedule(): AtTurnEnd } {
  let called = false;
  try {
    nextTick(() => {
      called = true;
    });
  } catch {
    // A replacement that throws does not call back.
  }
  return { schedule: () => (called ? nextTick : asJob) };
}
