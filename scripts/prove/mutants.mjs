// The campaign `mutants`: puts one small mistake after the other into a copy of the checkout and checks
// whether the tests of its room notice it. The mistakes come from universalmutator, which is installed into
// a separate environment; mutation.mjs decides which of them are played. Everything is below .build/mutants;
// the copy stays there, so that the next run builds only what changed.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Random } from '../differential/generate.mjs';
import { isInstalled, requireCMake } from '../lib/cmake.mjs';
import { locked } from '../lib/lock.mjs';
import { at, binary, filesBelow, typescriptProjects } from '../lib/project.mjs';
import { Failure, run, whole } from '../lib/run.mjs';
import {
  complaintOf,
  drawn,
  equivalentTo,
  isWorthwhile,
  mutated,
  scoreOf,
  staleEntries,
  timedOut,
} from './mutation.mjs';

const mutator = 'universalmutator==1.14.1';
const folder = '.build/mutants';
const work = at(folder, 'work');
const equivalents = 'test/mutants/equivalent.json';
const cmakeFolder = 'build-cmake-mutants';

/** Limits for a mutant that loops, allocates or writes endlessly. */
const limits = ['--data=6442450944', '--fsize=4294967296', '--core=0'];
const timeFactor = 1.5;
const timeMoreSeconds = 10;
const slowerFactor = 1.2;

const roomTests = (room) => ({
  target: `espora_${room}_tests`,
  args: ['--gtest_brief=1', '--gtest_fail_fast'],
});
const simulation = (target) => ({ target, args: ['run', '--seeds', '400'] });

/** native/ROOM → the programs that must notice, the most likely one first. */
const nativeRooms = {
  sys: [roomTests('sys')],
  intake: [roomTests('intake'), roomTests('forward')],
  http: [roomTests('http')],
  store: [roomTests('store'), simulation('espora_sim_small'), simulation('espora_sim')],
  forward: [roomTests('forward')],
  face: [roomTests('face')],
  ledger: [roomTests('ledger'), simulation('espora_sim_small')],
};

const testsIn = (...folders) => folders.map((folder) => `test/${folder}/**/*.test.ts`);

/**
 * ts/FOLDER (and native/binding) → sets of AVA files that must notice; a set runs only if the previous ones
 * did not notice.
 */
const avaRooms = {
  binding: [
    [...testsIn('binding'), 'test/options/joins.test.ts'],
    testsIn('store'),
    testsIn('services', 'metrics'),
  ],
  store: [testsIn('store'), testsIn('as-a-program')],
  // Tests that start no process come first.
  options: [
    ['test/options/!(process-*).test.ts'],
    [...testsIn('docs'), 'test/options/process-*.test.ts', 'test/cli/config.test.ts'],
  ],
  supervisor: [testsIn('supervisor'), ['test/cli/start.test.ts']],
  services: [testsIn('services'), testsIn('options', 'metrics'), ['test/cli/service.test.ts']],
  topology: [testsIn('topology'), ['test/cli/start.test.ts']],
  metrics: [testsIn('metrics')],
  admin: [testsIn('admin'), ['test/cli/admin.test.ts']],
  cli: [testsIn('cli'), ['test/store/copy.test.ts', 'test/contest/command.test.ts']],
};

/** Every room: `name`, `sources`, and how it is built and tested. */
const rooms = [
  ...Object.entries(nativeRooms).map(([room, programs]) => ({
    name: `native/${room}`,
    sources: `native/${room}`,
    ending: '.cc',
    programs,
  })),
  ...Object.entries(avaRooms).map(([room, ava]) => {
    const native = room === 'binding';
    const name = native ? 'native/binding' : `ts/${room}`;
    return { name, sources: name, ending: native ? '.cc' : '.ts', native, ava };
  }),
];

// --- The copy ------------------------------------------------------------------------------------

const inWork = (path) => join(work, path);
const contentOf = (path) => (existsSync(path) ? readFileSync(path) : undefined);

/** Makes the copy equal to what git tracks or would add; unchanged files keep their date. */
async function copyCheckout() {
  const { code, output } = await run('git', ['ls-files', '-co', '--exclude-standard', '-z']);
  if (code !== 0) throw new Failure(`git can't list the files of this checkout: ${output.trim()}`);
  const files = output.split('\0').filter((file) => file !== '' && existsSync(at(file)));
  const listed = at(folder, 'files.json');
  const before = existsSync(listed) ? JSON.parse(readFileSync(listed, 'utf8')) : [];
  const wanted = new Set(files);
  for (const file of before) if (!wanted.has(file)) rmSync(inWork(file), { force: true });
  for (const file of files) {
    const content = readFileSync(at(file));
    if (contentOf(inWork(file))?.equals(content)) continue;
    mkdirSync(dirname(inWork(file)), { recursive: true });
    writeFileSync(inWork(file), content);
  }
  writeFileSync(listed, JSON.stringify(files));
  if (!existsSync(inWork('node_modules'))) symlinkSync(at('node_modules'), inWork('node_modules'));
  // The addon of this checkout: mutated native code is built in the copy.
  mkdirSync(dirname(inWork(binary)), { recursive: true });
  copyFileSync(at(binary), inWork(binary));
  // The output of tsc from here, without the mutants of an earlier run.
  for (const { output } of typescriptProjects) {
    rmSync(inWork(output), { recursive: true, force: true });
    cpSync(at(output), inWork(output), { recursive: true });
  }
}

/** Installs the mutator if necessary; returns its Python. */
async function findMutator() {
  const environment = at(folder, 'python');
  const python = join(environment, 'bin/python');
  const installed = join(environment, 'installed');
  if (contentOf(installed)?.toString() === mutator) return python;
  const made = await run('python3', ['-m', 'venv', '--clear', environment]);
  if (made.code !== 0) {
    throw new Failure(
      `Python's venv is missing (on Debian: apt-get install python3-venv):\n${made.output}`,
    );
  }
  const got = await run(python, ['-m', 'pip', 'install', '--quiet', mutator]);
  if (got.code !== 0) throw new Failure(`pip can't install ${mutator}:\n${got.output}`);
  writeFileSync(installed, mutator);
  return python;
}

// --- Running in the copy -------------------------------------------------------------------------

/** Runs a command in the copy. */
async function inCopy(command, { seconds = 1800, environment = {}, alone = false } = {}) {
  const temporary = mkdtempSync(join(tmpdir(), 'espora-mutant-'));
  chmodSync(temporary, 0o1777); // some tests become another user
  // If permitted, in a namespace that ends with it, so that no process of a mutant stays.
  const namespace = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  try {
    return await run(
      'env',
      [
        ...['-C', work, `TMPDIR=${temporary}`, 'CI=1', 'NO_COLOR=1'],
        ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
        ...['timeout', '--kill-after=5', String(Math.ceil(seconds))],
        ...(alone ? ['prlimit', ...limits] : []),
        ...(alone && process.getuid() === 0 ? namespace : []),
        ...command,
      ],
      {},
    );
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

const node = (path, ...args) => [process.execPath, at('node_modules', path), ...args];
async function mustWork(what, command) {
  const { code, output } = await inCopy(command);
  if (code !== 0) throw new Failure(`${what} failed without a mutant:\n${output}`);
}

async function configure() {
  await requireCMake();
  const generator = (await isInstalled('ninja')) ? ['-G', 'Ninja'] : [];
  // The code that ships, without options that slow compiling; warnings do not disqualify a mutant.
  const definitions = {
    CMAKE_BUILD_TYPE: 'Mutants',
    CMAKE_CXX_FLAGS: '-w',
    CMAKE_CXX_FLAGS_MUTANTS: '-O1 -DNDEBUG',
    ESPORA_ADDON: 'ON',
    ESPORA_UNITY: 'OFF', // each source has an object of its own
  };
  const args = Object.entries(definitions).map(([name, value]) => `-D${name}=${value}`);
  await mustWork('Configuring', [
    'cmake',
    '-S',
    work,
    '-B',
    inWork(cmakeFolder),
    ...generator,
    ...args,
  ]);
}

const building = (targets) => [
  ...['cmake', '--build', inWork(cmakeFolder), '--parallel', String(availableParallelism())],
  ...['--target', ...targets],
];

const digest = (file) =>
  createHash('sha256')
    .update(contentOf(inWork(file)) ?? '')
    .digest('hex');

// For each kind of room, a function that puts a compiled mutant into the copy and returns a function that
// removes it; or undefined if the mutant does not compile or the compiler's output is the same.

/** Compiles with `command`, which builds `library`; a removed mutant is compiled away with the next one. */
async function nativePlanter(files, library, command) {
  await configure();
  await mustWork('Compiling', command);
  const objectOf = (file) => join(cmakeFolder, 'CMakeFiles', `${library}.dir`, `${file}.o`);
  const made = new Map(files.map((file) => [file, digest(objectOf(file))]));
  return async (mutant) => {
    const path = inWork(mutant.file);
    const original = readFileSync(path, 'utf8');
    const takeOut = () => writeFileSync(path, original);
    writeFileSync(path, mutated(original, mutant));
    const { code } = await inCopy(command);
    if (code === 0 && digest(objectOf(mutant.file)) !== made.get(mutant.file)) return takeOut;
    takeOut();
    return undefined;
  };
}

/** Replaces the output of tsc by that for the mutant; the source stays unchanged. */
async function typescriptPlanter() {
  // Loaded here, because they take a second.
  const { default: ts } = await import('typescript');
  const { meaningOf } = await import('./meaning.mjs');
  const { config } = ts.readConfigFile(at('ts/tsconfig.json'), ts.sys.readFile);
  const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, at('ts'));
  let planted; // { path, text }
  let version = 0;
  const service = ts.createLanguageService({
    getCompilationSettings: () => options,
    getScriptFileNames: () => fileNames,
    getScriptVersion: (path) => (path === planted?.path ? String(version) : '0'),
    getScriptSnapshot(path) {
      const text = path === planted?.path ? planted.text : ts.sys.readFile(path);
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
    },
    getCurrentDirectory: () => at(),
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
  });
  const emitted = (path) =>
    service.getEmitOutput(path).outputFiles.find(({ name }) => name.endsWith('.js')).text;
  const meanings = new Map(); // of each unchanged file
  const changesNothing = (path, text) => {
    if (!meanings.has(path)) meanings.set(path, meaningOf(emitted(path)));
    return meanings.get(path) === meaningOf(text);
  };
  return async (mutant) => {
    const path = at(mutant.file);
    const output = inWork(mutant.file.replace(/^ts\/(.*)\.ts$/, 'dist/$1.js'));
    const original = readFileSync(output, 'utf8');
    version += 1;
    planted = { path, text: mutated(readFileSync(path, 'utf8'), mutant) };
    const wrong =
      service.getSyntacticDiagnostics(path).length > 0 ||
      service.getSemanticDiagnostics(path).length > 0;
    const text = wrong ? undefined : emitted(path);
    planted = undefined;
    if (text === undefined || changesNothing(path, text)) return undefined;
    writeFileSync(output, text);
    return () => writeFileSync(output, original);
  };
}

/** Builds a room; returns its tests in their order, and the function that plants mutants. */
async function prepare(room, files) {
  if (room.programs !== undefined) {
    const library = `espora_${room.sources.slice('native/'.length)}`;
    const tests = room.programs.map(({ target, args }) => ({
      name: target,
      build: building([target]),
      command: [inWork(join(cmakeFolder, target)), ...args],
    }));
    return { tests, plant: await nativePlanter(files, library, building([library])) };
  }
  const addon = inWork(join(cmakeFolder, 'espora.node'));
  const sets = room.ava.map((patterns) => ({
    name: patterns.join(' '),
    // The time-out is set here, because AVA's does not consider a busy machine.
    command: node('ava/entrypoints/cli.mjs', '--fail-fast', '--timeout', '30m', ...patterns),
    environment: room.native ? { ESPORA_ADDON: addon } : {},
    build: room.native ? building(['espora']) : undefined,
  }));
  const plant = room.native
    ? await nativePlanter(files, 'espora', building(['espora']))
    : await typescriptPlanter();
  return { tests: sets, plant };
}

/** Sets a test's time-out from its duration without a mutant. */
async function measure(room, test) {
  if (test.build !== undefined) await mustWork('Compiling', test.build);
  const began = performance.now();
  // Without a time-out, even if it was measured before.
  const { code, output } = await inCopy(test.command, { ...test, seconds: undefined, alone: true });
  if (code !== 0) {
    throw new Failure(`${room.name}: ${test.name} fails without a mutant:\n${output}`);
  }
  test.seconds = (timeFactor * (performance.now() - began)) / 1000 + timeMoreSeconds;
}

// --- Playing -------------------------------------------------------------------------------------

const secondsSince = (began) => ((performance.now() - began) / 1000).toFixed(0);

/** The exit code of a test with a mutant; undefined if that does not compile or changes nothing. */
async function codeWith(plant, test, mutant) {
  const takeOut = await plant(mutant);
  if (takeOut === undefined) return undefined;
  try {
    if (test.build !== undefined && (await inCopy(test.build)).code !== 0) return undefined;
    return (await inCopy(test.command, { ...test, alone: true })).code;
  } finally {
    takeOut();
  }
}

/** Plays a mutant: 'invalid' if it does not compile or changes nothing, 'killed', or 'survived'. */
async function play(room, { tests, plant }, mutant, say) {
  const where = `${mutant.file}:${mutant.number}`;
  const began = performance.now();
  for (const test of tests) {
    // A test is measured when it is first needed: when the earlier tests did not notice a mutant.
    if (test.seconds === undefined) await measure(room, test);
    let code = await codeWith(plant, test, mutant);
    for (let limit = test.seconds; timedOut(code); limit = test.seconds) {
      // Counts only if the machine has not become slower; otherwise the test gets more time.
      await measure(room, test);
      if (test.seconds <= slowerFactor * limit) break;
      code = await codeWith(plant, test, mutant);
    }
    if (code === undefined) return 'invalid';
    if (code === 0) continue;
    say(`${where}: killed by ${test.name} (exit code ${code}, ${secondsSince(began)} s)`);
    return 'killed';
  }
  say(`${where}: SURVIVED (${secondsSince(began)} s)\n${shown(mutant)}`);
  return 'survived';
}

const shown = ({ file, number, line, mutant }) =>
  `  ${file}:${number}\n    - ${line.trim()}\n` +
  mutant
    .trim()
    .split('\n')
    .map((each) => `    + ${each.trim()}\n`)
    .join('');

async function playRoom(room, { count, seed, python, known, say }) {
  const files = filesBelow(room.sources, (name) => name.endsWith(room.ending));
  const listed = await run(python, [at('scripts/prove/list-mutants.py'), ...files]);
  if (listed.code !== 0) throw new Failure(`The mutator failed:\n${listed.output}`);
  const mutants = listed.output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter(isWorthwhile);
  const prepared = await prepare(room, files);
  const result = { room: room.name, killed: 0, survivors: [], equivalent: 0, invalid: 0 };
  for (const mutant of drawn(mutants, new Random(seed))) {
    if (result.killed + result.survivors.length === count) break;
    if (equivalentTo(known, mutant) !== undefined) {
      result.equivalent += 1;
      continue;
    }
    const outcome = await play(room, prepared, mutant, say);
    if (outcome === 'killed') result.killed += 1;
    else if (outcome === 'invalid') result.invalid += 1;
    else result.survivors.push(mutant);
  }
  const score = scoreOf(result);
  process.stdout.write(
    `${room.name}: ${score === undefined ? 'nothing played' : `${(100 * score).toFixed(0)} % killed`}` +
      ` (${result.killed} of ${result.killed + result.survivors.length}; beside these ` +
      `${result.equivalent} equivalent, ${result.invalid} that did not compile or changed nothing)\n`,
  );
  for (const survivor of result.survivors) process.stdout.write(`survivor:\n${shown(survivor)}`);
  return result;
}

function chosenRooms(text) {
  if (text === 'all') return rooms;
  return text.split(',').map((name) => {
    const room = rooms.find((each) => each.name === name);
    if (room !== undefined) return room;
    const names = rooms.map((each) => each.name).join(', ');
    throw new Failure(`--room ${name}: give some of ${names}, or all.`);
  });
}

export const mutants = {
  summary: 'small mistakes in the source, each of which the tests of its room must notice',
  options: {
    room: { what: 'one, several with commas between them, or all', default: 'all' },
    mutants: { what: 'how many are played in each room', default: '30' },
    seed: { what: 'what they are drawn from', default: '1' },
    verbose: { what: 'say what became of each', type: 'boolean' },
  },
  long: {},
  async run(values) {
    const chosen = chosenRooms(values.room);
    const count = whole(values, 'mutants', 1);
    const seed = whole(values, 'seed', 0);
    const known = JSON.parse(readFileSync(at(equivalents), 'utf8'));
    const stale = staleEntries(known, (file) => contentOf(at(file))?.toString());
    if (stale.length > 0) throw new Failure(`${equivalents}:\n${stale.join('\n')}`);
    const say = (line) => values.verbose && process.stdout.write(`  ${line}\n`);
    return await locked('mutants', async () => {
      mkdirSync(work, { recursive: true });
      const python = await findMutator();
      await copyCheckout();
      const complaints = [];
      for (const room of chosen) {
        const result = await playRoom(room, { count, seed, python, known, say });
        const complaint = complaintOf(result);
        if (complaint !== undefined) complaints.push(complaint);
      }
      for (const complaint of complaints) process.stdout.write(`${complaint}\n`);
      return complaints.length === 0;
    });
  },
};
