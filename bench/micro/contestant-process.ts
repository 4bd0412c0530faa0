// One contestant in a process of its own: nothing that another one compiled, allocated or cached is
// in its way. Started by contestants.ts:
//   node contestant-process.js TRIAL CASE VARIANT DIRECTORY
// It says { fingerprint } when it is prepared, answers each { round: milliseconds } with { figures }, or
// { failure } to either, and ends at { close } or when whoever started it is gone.

import { microTrials } from './index.js';
import type { Contestant, Figures } from './micro-trial.js';

export type Order = { readonly round: number } | { readonly close: true };
export type Answer =
  { readonly fingerprint: string } | { readonly figures: Figures } | { readonly failure: string };

const [trialName, caseName, variantName, directory] = process.argv.slice(2);
const trial = microTrials.find(({ name }) => name === trialName);
const variant = trial?.variants.find(({ name }) => name === variantName);
if (variant === undefined || caseName === undefined || directory === undefined || !process.send) {
  throw new Error(`contestant-process: no such contestant: ${process.argv.slice(2).join(' ')}`);
}

/** Sends what `work` returns, or why it failed. */
function answer(work: () => Answer): void {
  let message: Answer;
  try {
    message = work();
  } catch (error) {
    message = { failure: error instanceof Error ? error.message : String(error) };
  }
  process.send!(message);
}

let contestant: Contestant | undefined;

process.on('disconnect', () => process.exit());
process.on('message', (order: Order) => {
  if ('round' in order) {
    answer(() => ({ figures: contestant!.round(order.round) }));
    return;
  }
  contestant?.close?.();
  process.disconnect();
});
answer(() => {
  contestant = variant.prepare(caseName, directory);
  return { fingerprint: contestant.fingerprint };
});
