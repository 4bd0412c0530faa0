// Shared by the scripts that use CMakeLists.txt: the kinds of sanitized builds, and configuring.

import { availableParallelism } from 'node:os';
import { at } from './project.mjs';
import { Failure, run } from './run.mjs';

/** Value of ESPORA_SANITIZE → the suffix of its build folders. */
const sanitizers = {
  '': '',
  address: '-address',
  undefined: '-undefined',
  'address,undefined': '-asan',
  thread: '-tsan',
};

/** The suffix of a build folder's name; throws a Failure for an unknown sanitizer. */
export function sanitizerSuffix(sanitize) {
  if (!Object.hasOwn(sanitizers, sanitize)) {
    const known = Object.keys(sanitizers).filter((name) => name !== '');
    throw new Failure(`--sanitize ${sanitize}: give one of ${known.join(' | ')}.`);
  }
  return sanitizers[sanitize];
}

export const isInstalled = async (tool) => (await run(tool, ['--version'])).code === 0;

/** Throws a Failure that says what to install if `cmake` is missing. */
export async function requireCMake() {
  if (!(await isInstalled('cmake'))) {
    throw new Failure(
      'cmake is not installed (on Debian: apt-get install cmake ninja-build g++); the build that ' +
        'ships does not need it: npm run build:native.',
    );
  }
}

/** Configures and builds `folder`; shows the tools' output only if one fails, or with `show`. */
export async function configureAndBuild(folder, definitions, { targets = [], show = false } = {}) {
  await requireCMake();
  const generator = (await isInstalled('ninja')) ? ['-G', 'Ninja'] : [];
  const configure = ['-S', at(), '-B', at(folder), ...generator];
  for (const [name, value] of Object.entries(definitions)) configure.push(`-D${name}=${value}`);
  const build = ['--build', at(folder), '--parallel', String(availableParallelism())];
  if (targets.length > 0) build.push('--target', ...targets);

  const tool = async (what, args) => {
    const { code, output } = await run('cmake', args, { show });
    if (code === 0) return output;
    process.stderr.write(output);
    throw new Failure(`${what} ${folder} failed: the messages above name the error.`);
  };
  const said = await tool('Configuring', configure);
  // If the compiler changed, CMake starts again and forgets the other definitions.
  if (said.includes('require your cache to be deleted')) await tool('Configuring', configure);
  await tool('Building', build);
}
