// The steps that make a checkout ready to run: dependencies, the native addon, JavaScript. Each step knows
// when it is due, what to run, and what to print if that fails.

import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { findHeaders, headerCandidates, nodeGypEnvironment } from './headers.mjs';
import { at, binary, filesBelow, typescriptProjects } from './project.mjs';
import { Failure, run, tryAddon } from './run.mjs';
import { dateChanges, difference, digests, identity, readStamp, writeStamp } from './stamp.mjs';

const installedLock = 'node_modules/.package-lock.json';

/**
 * The first package of the lock file that node_modules lacks, or undefined. Optional packages of other
 * platforms are never installed and do not count.
 */
export function missingPackage(lock, installed) {
  for (const [path, wanted] of Object.entries(lock.packages)) {
    if (path === '' || wanted.optional) continue;
    const found = installed.packages?.[path];
    if (found?.version !== wanted.version || found?.integrity !== wanted.integrity) return path;
  }
  return undefined;
}

const dependencies = {
  name: 'dependencies',
  reason() {
    if (!existsSync(at('node_modules'))) return 'nothing is installed yet';
    try {
      const [lock, installed] = ['package-lock.json', installedLock].map((file) =>
        JSON.parse(readFileSync(at(file), 'utf8')),
      );
      const missing = missingPackage(lock, installed);
      return missing && `package-lock.json and ${missing} differ`;
    } catch (error) {
      if (error.code === 'ENOENT' && error.path === at(installedLock)) {
        return 'the last installation did not finish';
      }
      throw error;
    }
  },
  async run(options) {
    // npm tells its scripts where it is; that npm belongs to this Node.js.
    const npm = process.env.npm_execpath;
    const args = ['ci', '--include=dev', '--no-audit', '--no-fund'];
    return npm?.endsWith('.js')
      ? await run(process.execPath, [npm, ...args], options)
      : await run('npm', args, options);
  },
  advice: () =>
    'npm ci failed: check that a registry can be reached, then run the same command again.',
};

/**
 * Why a build with these `inputs` is due according to its stamp, or undefined. Inputs are digests by file
 * name.
 */
function reasonToBuild(stamp, inputs) {
  if (stamp === undefined) return 'not built yet';
  const changed = difference(stamp.inputs, inputs);
  if (changed !== undefined) return `${changed} changed`;
  return stamp.finished ? undefined : 'the last build did not finish';
}

/**
 * Runs `build(clean)` between two stamps. Without a known earlier build it starts clean, because existing
 * files may have been made from other inputs.
 */
async function buildWithStamp(name, inputs, { clean = false, output = () => undefined }, build) {
  const last = readStamp(name);
  if (last !== undefined) {
    writeStamp(name, { ...last, finished: false });
    dateChanges(last.inputs, inputs);
  }
  const result = await build(clean || last === undefined);
  if (result.code === 0) writeStamp(name, { inputs, finished: true, output: output() });
  return result;
}

/** What the linker reads besides objects; make does not track it. */
const exportsMap = 'native/binding/exports.map';

/** The linker's output; node-gyp's makefile links or copies it to its place. */
const linked = 'build/Release/obj.target/espora.node';

const nativeInputs = () =>
  digests([
    ...filesBelow('native', (name) => /\.(cc|h|map)$|^sources\.txt$/.test(name)),
    'binding.gyp',
    'package.json',
    'node_modules/node-addon-api/package.json',
  ]);

/**
 * Whether there is a file that make, which compares dates, would wrongly keep: one that another program put
 * there, or one that was linked with other exports.
 */
const isStale = (stamp) =>
  stamp?.output !== identity(binary) || stamp?.inputs[exportsMap] !== nativeInputs()[exportsMap];

/** Builds the addon with node-gyp. */
const native = {
  name: 'native addon',
  reason() {
    const built = identity(binary);
    if (built === undefined) return 'not built yet';
    const stamp = readStamp('native');
    return (
      reasonToBuild(stamp, nativeInputs()) ??
      (stamp.output === built ? undefined : 'the binary is not the one that was built last')
    );
  },
  run: (options) =>
    buildWithStamp(
      'native',
      nativeInputs(),
      { clean: options.clean, output: () => identity(binary) },
      async (clean) => {
        if (isStale(readStamp('native'))) {
          for (const file of [binary, linked]) rmSync(at(file), { force: true });
        }
        const built = await run(
          process.execPath,
          [
            at('node_modules/node-gyp/bin/node-gyp.js'),
            ...(clean ? ['rebuild'] : ['configure', 'build']),
            `--directory=${at()}`,
            `--jobs=${availableParallelism()}`,
            `--loglevel=${options.show ? 'info' : 'warn'}`,
          ],
          { ...options, env: nodeGypEnvironment(findHeaders()) },
        );
        return built.code === 0 ? await tryAddon(at(binary), options) : built;
      },
    ),
  advice() {
    if (findHeaders() !== undefined) {
      return (
        'The native build failed. It needs g++ 12 or later, make and Python 3 (on Debian: apt-get install ' +
        'g++ make python3); if you have them, the messages above name the error.'
      );
    }
    const { execPath, versions, env } = process;
    const places = headerCandidates({ execPath, version: versions.node, env });
    return (
      `The headers of Node.js ${versions.node} are in none of ${places.join(', ')} (include/node) ` +
      'and could not be downloaded: install them in one of these places, or run this once with a network.'
    );
  },
};

/** Sources with the output file of each, without the installed packages of the benchmarks' peers. */
function typescriptFiles() {
  return typescriptProjects.flatMap(({ source, output }) =>
    filesBelow(source, (name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
      .filter((file) => !file.includes('/node_modules/'))
      .map((file) => ({
        file,
        output: `${output}${file.slice(source.length, -'.ts'.length)}.js`,
      })),
  );
}

function typescriptInputs() {
  return digests([
    'tsconfig.json',
    'tsconfig.base.json',
    ...typescriptProjects.map(({ source }) => `${source}/tsconfig.json`),
    'package-lock.json',
    ...typescriptFiles().map(({ file }) => file),
  ]);
}

/** Removes the output of removed sources, which could still be imported or be shipped. */
function removeOrphans() {
  const wanted = new Set(typescriptFiles().map(({ output }) => output.slice(0, -'.js'.length)));
  for (const { output } of typescriptProjects) {
    for (const file of filesBelow(output, (name) => /\.(js|d\.ts)(\.map)?$/.test(name))) {
      if (!wanted.has(file.replace(/\.(js|d\.ts)(\.map)?$/, ''))) rmSync(at(file));
    }
  }
}

const missingOutput = () =>
  typescriptFiles().find(
    ({ output }) => statSync(at(output), { throwIfNoEntry: false }) === undefined,
  );

const typescript = {
  name: 'typescript',
  reason() {
    const missing = missingOutput();
    return (
      reasonToBuild(readStamp('typescript'), typescriptInputs()) ??
      (missing && `${missing.output} is missing`)
    );
  },
  run: (options) =>
    buildWithStamp('typescript', typescriptInputs(), {}, async (clean) => {
      removeOrphans();
      const tsc = (...args) =>
        run(process.execPath, [at('node_modules/typescript/bin/tsc'), '-b', ...args], options);
      const result = await tsc(...(clean ? ['--force'] : []));
      // tsc relies on its build information and does not notice removed output.
      return result.code === 0 && missingOutput() !== undefined ? await tsc('--force') : result;
    }),
  advice: () => 'TypeScript did not compile: the messages above name the file and the line.',
};

export const steps = { dependencies, native, typescript };

const say = (text) => process.stderr.write(text);

/**
 * Runs one step if `reason` is given, and prints one line with the step, the reason and the time. If it
 * fails, prints the tool's output and throws a Failure with the remedy.
 */
export async function perform(step, reason, options = {}) {
  if (reason === undefined) return;
  const started = performance.now();
  say(`${step.name}: ${reason}, ${options.show ? 'working\n' : 'working ... '}`);
  const { code, output } = await step.run(options);
  if (code !== 0) {
    say(`failed\n${output}${output === '' || output.endsWith('\n') ? '' : '\n'}`);
    throw new Failure(step.advice());
  }
  say(`done in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}
