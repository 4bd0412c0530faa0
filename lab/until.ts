// Waiting for something that nobody announces.
import { setTimeout as sleep } from 'node:timers/promises';

// Far beyond what anything takes that works; only what hangs gets here. Under ThreadSanitizer five
// processes take most of a minute to start on two busy cores.
const patienceMs = process.env['ESPORA_SANITIZED'] === undefined ? 60_000 : 240_000;

/** Asks again and again until the answer is neither undefined nor false; throws if it never is. */
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
