// Waits by polling.
import { setTimeout as sleep } from 'node:timers/promises';

// Far longer than anything takes that works, so that only a hang reaches it. Under ThreadSanitizer five
// processes take most of a minute to start on two busy cores.
const patienceMs = process.env['ESPORA_SANITIZED'] === undefined ? 60_000 : 240_000;

/** Calls the function until its result is neither undefined nor false; throws if that takes too long. */
export async function until<Value>(
  what: string,
  ask: () => Value | undefined | false | Promise<Value | undefined | false>,
): Promise<Value> {
  const deadline = performance.now() + patienceMs;
  while (performance.now() < deadline) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    await sleep(10);
  }
  throw new Error(`waited in vain until ${what}`);
}
