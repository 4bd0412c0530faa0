// `npm run build:native`: the addon as it ships, build/Release/espora.node. Installs dependencies
// first where that is due, so that it is the only command a fresh clone needs.
// --clean: from nothing; --verbose: the compiler's own output as it comes.

import { readFlags } from './lib/flags.mjs';
import { locked } from './lib/lock.mjs';
import { binary } from './lib/project.mjs';
import { runScript } from './lib/run.mjs';
import { perform, steps } from './lib/steps.mjs';

const values = readFlags(import.meta.url, {
  clean: { type: 'boolean' },
  verbose: { type: 'boolean' },
});

await runScript(() =>
  locked('build', async (heldDescriptor) => {
    await perform(steps.dependencies, steps.dependencies.reason(), { heldDescriptor });
    await perform(steps.native, steps.native.reason() ?? 'asked for', {
      heldDescriptor,
      clean: values.clean,
      show: values.verbose,
    });
    process.stdout.write(`${binary} is ready.\n`);
  }),
);
