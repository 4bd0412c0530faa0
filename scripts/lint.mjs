// `npm run lint`: ESLint, Prettier and clang-format over everything that git knows or would add.
// --fix (`npm run format`): lets each mend what it can; --tidy: clang-tidy too, which takes minutes.
// A tool of the C++ side that is not installed is named and left out.

import { configureAndBuild, isInstalled } from './lib/cmake.mjs';
import { readFlags } from './lib/flags.mjs';
import { locked } from './lib/lock.mjs';
import { at } from './lib/project.mjs';
import { Failure, run, runScript } from './lib/run.mjs';
import { perform, steps } from './lib/steps.mjs';

const values = readFlags(import.meta.url, {
  fix: { type: 'boolean', default: false },
  tidy: { type: 'boolean', default: false },
});

async function listedFiles(...patterns) {
  const { code, output } = await run('git', ['ls-files', '-co', '--exclude-standard', ...patterns]);
  if (code !== 0) throw new Failure(`git can't list the files of this checkout: ${output.trim()}`);
  const { code: removed, output: gone } = await run('git', ['ls-files', '-d', ...patterns]);
  const deleted = new Set(removed === 0 ? gone.split('\n') : []);
  return output.split('\n').filter((file) => file !== '' && !deleted.has(file));
}

/** The results of clang tools depend on their version; Debian 12 has 14. */
async function findClangTool(tool) {
  if (await isInstalled(`${tool}-14`)) return `${tool}-14`;
  process.stdout.write(
    `${tool}-14 is not installed (on Debian: apt-get install ${tool}-14): left out.\n`,
  );
  return undefined;
}

const nodeTool = (path, ...args) => run(process.execPath, [at('node_modules', path), ...args]);

const checks = {
  eslint: () =>
    nodeTool('eslint/bin/eslint.js', '--max-warnings=0', ...(values.fix ? ['--fix'] : []), '.'),

  prettier: () =>
    nodeTool(
      'prettier/bin/prettier.cjs',
      '--log-level=warn',
      values.fix ? '--write' : '--check',
      '.',
    ),

  async 'clang-format'() {
    const tool = await findClangTool('clang-format');
    const files = await listedFiles('*.cc', '*.h');
    if (tool === undefined || files.length === 0) return { code: 0, output: '' };
    return run(tool, [...(values.fix ? ['-i'] : ['--dry-run', '-Werror']), ...files]);
  },
};

async function tidy() {
  const tool = await findClangTool('clang-tidy');
  if (tool === undefined) return { code: 0, output: '' };
  // Only flags that clang knows: it reports those of gcc as unknown.
  await configureAndBuild(
    'build-cmake-tidy',
    { CMAKE_CXX_COMPILER: 'clang++-14' },
    { targets: ['help'] },
  );
  const files = await listedFiles('native/*.cc');
  const sources = files.filter((file) => !file.startsWith('native/binding/'));
  return run('run-clang-tidy-14', [
    '-quiet',
    '-p',
    at('build-cmake-tidy'),
    ...sources.map((file) => at(file)),
  ]);
}

await runScript(async () => {
  await locked('build', () => perform(steps.dependencies, steps.dependencies.reason()));
  let failed = 0;
  for (const [name, check] of Object.entries(
    values.tidy ? { ...checks, 'clang-tidy': tidy } : checks,
  )) {
    const { code, output } = await check();
    if (code !== 0) {
      failed += 1;
      process.stdout.write(output);
    }
    process.stdout.write(`${name}: ${code === 0 ? 'ok' : 'FAILED'}\n`);
  }
  if (failed > 0)
    throw new Failure('Lint failed; `npm run format` mends what can be mended by a tool.');
});
