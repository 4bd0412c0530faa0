// Calls back when a turn of the event loop ends, also where the functions for that were replaced: test
// runners do so with clocks that only move when they are told to.

// As it was when this was loaded; what replaces it later is not ours.
// eslint-disable-next-line @typescript-eslint/unbound-method -- it has no use for one
const { nextTick } = process;
const settled = Promise.resolve();

/** Schedules a callback. */
export type AtTurnEnd = (callback: () => void) => void;

// Jobs of promises come from the engine, and nothing replaces those. They are second choice: what the
// turn's other jobs do later is not in it.
const asJob: AtTurnEnd = (callback) => {
  void settled.then(callback);
};

/**
 * Tries out whether `nextTick` calls back: it may have been a replacement already when this was loaded.
 * `schedule` may be asked in a later turn only, and says what to use from then on.
 */
export function turnEnd(): { schedule(): AtTurnEnd } {
  let called = false;
  try {
    nextTick(() => {
      called = true;
    });
  } catch {
    // Not called, then.
  }
  return { schedule: () => (called ? nextTick : asJob) };
}
