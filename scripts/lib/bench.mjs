// Builds the benchmarks' native code, with bench/CMakeLists.txt.

import { configureAndBuild } from './cmake.mjs';
import { locked } from './lock.mjs';
import { at } from './project.mjs';

const folder = 'build-cmake-bench';

/** Builds what is due of all targets, or of `targets`, and resolves with the folder. Needs cmake. */
export async function buildBench(targets = []) {
  const definitions = {
    CMAKE_BUILD_TYPE: 'RelWithDebInfo',
    ESPORA_TESTS: 'OFF',
    ESPORA_BENCH: 'ON',
  };
  await locked(folder, () => configureAndBuild(folder, definitions, { targets }));
  return at(folder, 'bench');
}
