// The signals that stop a program: the first one orderly, a second one at once.

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

// A Ctrl-C under `npm start` arrives twice: from the terminal and from npm, which forwards it. A signal that
// follows the first one within this time is therefore ignored.
const sameWishMs = 500;

/** Calls `first` for the first signal and `again` for each clearly later one. */
export function onStopSignals(handlers: { first: () => void; again: () => void }): void {
  let firstAt: number | undefined;
  const receive = (): void => {
    const now = performance.now();
    if (firstAt === undefined) {
      firstAt = now;
      handlers.first();
    } else if (now - firstAt >= sameWishMs) {
      handlers.again();
    }
  };
  for (const signal of signals) process.on(signal, receive);
}
