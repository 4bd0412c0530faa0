// Builds the FUSE disk whose power can be cut (test/native/power/), for the campaign `power` and for the
// tests of failing disks, and prints where it is. Needs cmake and libfuse3.

import { configureAndBuild } from './lib/cmake.mjs';
import { locked } from './lib/lock.mjs';
import { at } from './lib/project.mjs';
import { runScript } from './lib/run.mjs';

const folder = 'build-cmake-power';

await runScript(async () => {
  await locked(folder, () =>
    configureAndBuild(
      folder,
      { CMAKE_BUILD_TYPE: 'RelWithDebInfo', ESPORA_TESTS: 'OFF', ESPORA_POWER: 'ON' },
      { targets: ['espora_power_disk'] },
    ),
  );
  process.stdout.write(`${at(folder, 'espora_power_disk')}\n`);
});
