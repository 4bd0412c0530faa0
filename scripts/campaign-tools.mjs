// Builds what the campaigns of `npm run prove` and the tests of failing disks need beside the service
// (test/native/campaigns/), and prints the folder: a library for LD_PRELOAD, and, where libfuse3 is
// installed, a disk whose power can be cut. Needs cmake.

import { configureAndBuild } from './lib/cmake.mjs';
import { locked } from './lib/lock.mjs';
import { at } from './lib/project.mjs';
import { runScript } from './lib/run.mjs';

const folder = 'build-cmake-campaigns';

await runScript(async () => {
  await locked(folder, () =>
    configureAndBuild(folder, {
      CMAKE_BUILD_TYPE: 'RelWithDebInfo',
      ESPORA_TESTS: 'OFF',
      ESPORA_CAMPAIGNS: 'ON',
    }),
  );
  process.stdout.write(`${at(folder)}\n`);
});
