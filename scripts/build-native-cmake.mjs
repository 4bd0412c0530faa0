// `npm run build:native:cmake`: the addon through cmake-js, into build-cmake/Release/espora.node. It
// takes Node-API's headers from a package and so downloads nothing.
// --sanitize address,undefined | thread: into build-cmake-asan/ or build-cmake-tsan/; run with
// ESPORA_ADDON pointing at it. --verbose: the tools' own output as it comes.

import { availableParallelism } from 'node:os';
import { requireCMake, sanitizerSuffix } from './lib/cmake.mjs';
import { readFlags } from './lib/flags.mjs';
import { locked } from './lib/lock.mjs';
import { at } from './lib/project.mjs';
import { Failure, run, runScript, tryAddon } from './lib/run.mjs';
import { perform, steps } from './lib/steps.mjs';

const values = readFlags(import.meta.url, {
  sanitize: { type: 'string', default: '' },
  verbose: { type: 'boolean' },
});

async function build(folder, heldDescriptor) {
  const { code, output } = await run(
    process.execPath,
    [
      at('node_modules/cmake-js/bin/cmake-js'),
      'compile',
      `--out=${at(folder)}`,
      `--parallel=${availableParallelism()}`,
      `--CDESPORA_SANITIZE=${values.sanitize}`,
    ],
    { show: values.verbose, heldDescriptor },
  );
  if (code !== 0) {
    process.stderr.write(output);
    throw new Failure(
      'The build through cmake-js failed: the messages above name the error. It needs cmake 3.20 or ' +
        'later, g++ 12 or later, and ninja or make.',
    );
  }
  const addon = `${folder}/Release/espora.node`;
  // A sanitized addon loads only if the sanitizer's runtime was loaded before Node.js.
  const loaded = values.sanitize === '' ? await tryAddon(at(addon)) : { code: 0 };
  if (loaded.code !== 0) {
    throw new Failure(`${loaded.output}${addon} was built and does not load: see above.`);
  }
  process.stdout.write(`${addon} is ready.\n`);
}

await runScript(async () => {
  const folder = `build-cmake${sanitizerSuffix(values.sanitize)}`;
  await requireCMake();
  await locked('build', () => perform(steps.dependencies, steps.dependencies.reason()));
  await locked(folder, (heldDescriptor) => build(folder, heldDescriptor));
});
