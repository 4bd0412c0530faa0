// `npm run fuzz -- --seconds N [--target NAME]...`: builds the fuzz targets with clang and lets each, or
// each that is named, run for N seconds (10 by default), as many at once as there are CPUs.
// test/native/fuzz/NAME_fuzz.cc starts from the inputs in test/native/fuzz/corpus/NAME/ and, where it
// exists, the dictionary NAME.dict beside it; what it finds on the way stays in
// build-cmake-fuzz/corpus/NAME/ for the next run.
// --keep: afterwards, a smallest set of all inputs so far that reaches as much becomes part of the inputs
// to start from, and the run is added to test/native/fuzz/kept.json.
// --verbose: all output as it comes, one target after the other; such a run is not counted.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { configureAndBuild, isInstalled } from './lib/cmake.mjs';
import { readFlags } from './lib/flags.mjs';
import { locked } from './lib/lock.mjs';
import { at, filesBelow } from './lib/project.mjs';
import { Failure, run, runScript } from './lib/run.mjs';

const values = readFlags(import.meta.url, {
  seconds: { type: 'string', default: '10' },
  target: { type: 'string', multiple: true },
  keep: { type: 'boolean', default: false },
  verbose: { type: 'boolean', default: false },
});

const folder = 'build-cmake-fuzz';
const sources = 'test/native/fuzz';

async function findClang() {
  for (const compiler of ['clang++-14', 'clang++']) {
    if (await isInstalled(compiler)) return compiler;
  }
  throw new Failure(
    'clang is not installed; the fuzz targets need it (on Debian: apt-get install clang-14 libclang-rt-14-dev).',
  );
}

function chooseTargets() {
  const all = filesBelow(sources, (name) => name.endsWith('_fuzz.cc')).map((file) =>
    basename(file, '_fuzz.cc'),
  );
  if (all.length === 0) throw new Failure(`There is no fuzz target in ${sources}.`);
  if (values.target === undefined) return all;
  for (const name of values.target) {
    if (!all.includes(name)) throw new Failure(`--target ${name}: give one of ${all.join(', ')}.`);
  }
  return [...new Set(values.target)];
}

// `times` of sh(1): user and system time of the shell, then of its children.
const timed = '"$0" "$@"; code=$?; times; exit $code';

function cpuSecondsOf(output) {
  const parts = [
    ...output
      .trimEnd()
      .split('\n')
      .at(-1)
      .matchAll(/(\d+)m([\d.]+)s/g),
  ];
  return parts.reduce((sum, [, minutes, seconds]) => sum + 60 * minutes + Number(seconds), 0);
}

/** Runs one target for its time and prints its figures. Returns them, or undefined if it failed. */
async function fuzz(name, seconds) {
  const corpus = `${folder}/corpus/${name}`;
  const artifacts = `${folder}/artifacts/${name}/`;
  for (const made of [corpus, artifacts]) mkdirSync(at(made), { recursive: true });
  const seeds = `${sources}/corpus/${name}`;
  const dictionary = `${sources}/${name}.dict`;
  const { code, output } = await run(
    'sh',
    [
      '-c',
      timed,
      at(folder, `espora_${name}_fuzz`),
      `-max_total_time=${seconds}`,
      `-artifact_prefix=${artifacts}`,
      '-timeout=10',
      '-rss_limit_mb=1024',
      '-print_final_stats=1',
      ...(existsSync(at(dictionary)) ? [`-dict=${dictionary}`] : []),
      corpus,
      ...(existsSync(at(seeds)) ? [seeds] : []),
    ],
    { show: values.verbose },
  );
  const figure = (pattern) => [...output.matchAll(pattern)].at(-1)?.[1] ?? '?';
  const runs = figure(/stat::number_of_executed_units:\s+(\d+)/g);
  const covered = figure(/ cov: (\d+) /g);
  const cpuSeconds = cpuSecondsOf(output);
  if (code !== 0) process.stderr.write(output);
  process.stdout.write(
    `fuzz ${name}: ${code === 0 ? 'nothing found' : `FAILED, the input is in ${artifacts}`}` +
      (values.verbose
        ? '\n'
        : ` (${runs} runs, ${covered} edges covered, ${cpuSeconds.toFixed(0)} s of CPU)\n`),
  );
  return code === 0 ? { runs: Number(runs), covered: Number(covered), cpuSeconds } : undefined;
}

// libFuzzer names inputs by their hash; inputs written by hand have other names.
const found = /^[0-9a-f]{40}$/;
const keptBytesMax = 512;

/** Adds a run to the list of runs whose inputs were kept. */
function count(name, { runs, covered, cpuSeconds }, inputs) {
  const file = at(sources, 'kept.json');
  const all = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  const before = all[name] ?? { cpuSeconds: 0, runs: 0 };
  all[name] = {
    cpuSeconds: Math.round(before.cpuSeconds + cpuSeconds),
    runs: before.runs + runs,
    edges: covered,
    inputs,
  };
  const sorted = Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(file, `${JSON.stringify(sorted, undefined, 2)}\n`);
}

/** Adds a minimal set of the found inputs to those to start from. */
async function keep(name, figures) {
  const seeds = at(sources, 'corpus', name);
  const corpus = at(folder, 'corpus', name);
  mkdirSync(seeds, { recursive: true });
  for (const file of readdirSync(seeds).filter((file) => found.test(file))) {
    copyFileSync(join(seeds, file), join(corpus, file));
    rmSync(join(seeds, file));
  }
  const args = ['-set_cover_merge=1', `-max_len=${keptBytesMax}`, seeds, corpus];
  const { code, output } = await run(at(folder, `espora_${name}_fuzz`), args);
  if (code !== 0) throw new Failure(`Merging what ${name} found failed:\n${output}`);
  const inputs = readdirSync(seeds).length;
  if (!values.verbose) count(name, figures, inputs);
  process.stdout.write(`fuzz ${name}: ${inputs} inputs kept in ${sources}\n`);
}

await runScript(async () => {
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 1) {
    throw new Failure(`--seconds ${values.seconds}: give a whole number of seconds, 1 or more.`);
  }
  const targets = chooseTargets();
  const compiler = await findClang();
  return await locked(folder, async () => {
    await configureAndBuild(
      folder,
      { CMAKE_BUILD_TYPE: 'RelWithDebInfo', CMAKE_CXX_COMPILER: compiler, ESPORA_FUZZ: 'ON' },
      { targets: targets.map((name) => `espora_${name}_fuzz`), show: values.verbose },
    );
    let failed = 0;
    const waiting = [...targets];
    const work = async () => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        const figures = await fuzz(name, seconds);
        if (figures === undefined) failed += 1;
        else if (values.keep) await keep(name, figures);
      }
    };
    const atOnce = values.verbose ? 1 : availableParallelism();
    await Promise.all(Array.from({ length: atOnce }, work));
    process.stdout.write(`fuzz: ${targets.length - failed} passed, ${failed} failed\n`);
    return failed === 0 ? 0 : 1;
  });
});
