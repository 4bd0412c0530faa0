// The benchmarks' native code, all of it built in one place: bench/CMakeLists.txt.

import { configureAndBuild } from './cmake.mjs';
import { locked } from './lock.mjs';
import { at } from './project.mjs';

const folder = 'build-cmake-bench';

/** Builds what is due of it, or of `targets`, and resolves with the folder that it is in. Needs cmake. */
export async function buildBench(targets = []) {
  const definitions = {
    CMAKE_BUILD_TYPE: 'RelWithDebInfo',
    ESPORA_TESTS: 'OFF',
    ESPORA_BENCH: 'ON',
  };
  await locked(folder, () => configureAndBuild(folder, definitions, { targets }));
  return at(folder, 'bench');
}
