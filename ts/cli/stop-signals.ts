// What asks a program to stop: a first signal, and a second one for those who can't wait.

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

// A Ctrl-C under `npm start` arrives twice: from the terminal, and once more from npm, which
// forwards it. What follows the first signal this closely is the same wish.
const sameWishMs = 500;

/** Calls `first` for the first signal and `again` for each one that comes clearly later. */
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
