// Builds the benchmarks' native programs (bench/load/) and prints the folder that they are in. Needs
// cmake.

import { configureAndBuild } from './lib/cmake.mjs';
import { locked } from './lib/lock.mjs';
import { at } from './lib/project.mjs';
import { runScript } from './lib/run.mjs';

const folder = 'build-cmake-bench';

await runScript(async () => {
  await locked(folder, () =>
    configureAndBuild(folder, {
      CMAKE_BUILD_TYPE: 'RelWithDebInfo',
      ESPORA_TESTS: 'OFF',
      ESPORA_BENCH: 'ON',
    }),
  );
  process.stdout.write(`${at(folder)}/bench\n`);
});
