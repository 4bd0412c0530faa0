// How long to wait before a crashed service is started again.

/** Waiting times of restarts, in milliseconds. */
export interface BackOffPolicy {
  /** Before the first restart after a calm time. */
  readonly firstMs: number;
  /** Never longer than this. */
  readonly maxMs: number;
  /** Ready for this long: the next crash counts as the first. */
  readonly calmMs: number;
}

/** Quick enough that a single crash is hardly noticed, slow enough that a crash loop costs nothing. */
export const restartPolicy: BackOffPolicy = Object.freeze({
  firstMs: 100,
  maxMs: 10_000,
  calmMs: 10_000,
});

/**
 * The wait before the next restart: doubles from crash to crash, starts anew after a calm time.
 * `previousMs` is the wait before the life that just ended (0: there was none), `readyForMs` how
 * long that life was ready.
 */
export function nextDelay(policy: BackOffPolicy, previousMs: number, readyForMs: number): number {
  if (previousMs === 0 || readyForMs >= policy.calmMs) return policy.firstMs;
  return Math.min(previousMs * 2, policy.maxMs);
}
