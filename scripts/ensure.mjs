// Makes the checkout ready to run: installs, builds native code, compiles TypeScript, each only if it
// is due. Runs before `npm start`, `npm test`, `npm run bench` and `npm run contest`; says nothing and
// costs a fraction of a second when there is nothing to do.
// --bench: the benchmarks' native code too, which needs cmake.

import { buildBench } from './lib/bench.mjs';
import { readFlags } from './lib/flags.mjs';
import { locked } from './lib/lock.mjs';
import { runScript } from './lib/run.mjs';
import { perform, steps } from './lib/steps.mjs';

const values = readFlags(import.meta.url, { bench: { type: 'boolean', default: false } });

const order = [steps.dependencies, steps.native, steps.typescript];

async function ensure() {
  if (order.every((step) => step.reason() === undefined)) return;
  await locked('build', async (heldDescriptor) => {
    // Checked again before each step: the previous holder of the lock may have done it, and each step
    // depends on the result of the one before.
    for (const step of order) await perform(step, step.reason(), { heldDescriptor });
  });
}

await runScript(async () => {
  await ensure();
  if (values.bench) await buildBench();
});
