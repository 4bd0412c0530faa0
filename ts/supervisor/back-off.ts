// The wait before a crashed service is started again.

/** Waiting times of restarts, in milliseconds. */
export interface BackOffPolicy {
  /** The wait before the first restart after a calm time. */
  readonly firstMs: number;
  /** The longest wait. */
  readonly maxMs: number;
  /** If a service was ready for this long, its next crash counts as the first. */
  readonly calmMs: number;
}

/** A single crash is repaired at once; a crash loop costs next to nothing. */
export const restartPolicy: BackOffPolicy = Object.freeze({
  firstMs: 100,
  maxMs: 10_000,
  calmMs: 10_000,
});

/**
 * The wait before the next restart: doubles from crash to crash, and starts again after a calm time.
 * `previousMs` is the previous wait (0: there was none), `readyForMs` how long the crashed process was
 * ready.
 */
export function nextDelay(policy: BackOffPolicy, previousMs: number, readyForMs: number): number {
  if (previousMs === 0 || readyForMs >= policy.calmMs) return policy.firstMs;
  return Math.min(previousMs * 2, policy.maxMs);
}
