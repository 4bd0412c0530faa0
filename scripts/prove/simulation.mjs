// The campaigns on the simulated disk: `sim` (seeds), `scope` (every small workload, exhaustively) and
// `teeth` (deliberately broken builds, each of which must be noticed). The programs are built by
// CMakeLists.txt from test/native/sim/.

import { availableParallelism } from 'node:os';
import { configureAndBuild, sanitizerSuffix } from '../lib/cmake.mjs';
import { locked } from '../lib/lock.mjs';
import { at } from '../lib/project.mjs';
import { Failure, run, whole } from '../lib/run.mjs';

const builds = {
  shipping: 'espora_sim', // the objects that ship; segments of 1 MiB
  small: 'espora_sim_small', // the same sources with segments of a few blocks: many more rolls per second
};

const common = {
  seed: { what: 'the first seed', default: '1' },
  sanitize: { what: 'address,undefined: the same under sanitizers', default: '' },
};

/** Builds the programs, then calls `work` with a function that runs one of them with arguments. */
async function withPrograms(values, names, work) {
  const folder = `build-cmake-native${sanitizerSuffix(values.sanitize)}`;
  await locked(folder, () =>
    configureAndBuild(
      folder,
      { CMAKE_BUILD_TYPE: 'RelWithDebInfo', ESPORA_SANITIZE: values.sanitize },
      { targets: names.map((name) => builds[name]) },
    ),
  );
  return await work((name, args, options) =>
    run(at(folder, builds[name]), args.map(String), options),
  );
}

const replayed = (campaign, args) => `  npm run prove -- ${campaign} ${args.join(' ')}\n`;

export const sim = {
  summary: 'random faults and damage on a simulated disk, every promise checked at every step',
  options: {
    seeds: { what: 'how many seeds, for each of the two builds', default: '2000' },
    ...common,
    build: { what: 'small, shipping or both', default: 'both' },
    trace: { what: 'print every call of the seeds', type: 'boolean' },
  },
  long: { seeds: '200000' },
  async run(values) {
    const names = values.build === 'both' ? ['small', 'shipping'] : [values.build];
    for (const name of names) {
      if (!Object.hasOwn(builds, name)) {
        throw new Failure(`--build ${name}: give small, shipping or both.`);
      }
    }
    const seeds = whole(values, 'seeds', 1);
    const args = ['run', '--seeds', seeds, '--seed', whole(values, 'seed', 0)];
    if (values.trace) args.push('--trace');
    return await withPrograms(values, names, async (program) => {
      const results = await Promise.all(
        names.map((name) => program(name, args, { show: values.trace })),
      );
      for (const [i, { code, output }] of results.entries()) {
        process.stdout.write(`the ${names[i]} build:\n${output}`);
        if (code === 0) continue;
        const found = /^FAILED: seed (\d+)/m.exec(output);
        if (found === null) process.stdout.write(`It ended with exit code ${code}.\n`);
        const again = ['--build', names[i], '--seeds', found ? '1' : seeds];
        again.push('--seed', found ? found[1] : values.seed, ...(found ? ['--trace'] : []));
        process.stdout.write(`To see it again:\n${replayed('sim', again)}`);
      }
      return results.every(({ code }) => code === 0);
    });
  },
};

export const scope = {
  summary: 'every workload of a few operations, every crash, every subset of what survives it',
  options: {
    operations: { what: 'the length of the longest workloads', default: '2' },
    ...common,
  },
  long: { operations: '3' },
  async run(values) {
    const operations = whole(values, 'operations', 0);
    const seed = whole(values, 'seed', 0);
    const shards = availableParallelism();
    return await withPrograms(values, ['small'], async (program) => {
      const results = await Promise.all(
        Array.from({ length: shards }, (_, shard) =>
          program('small', [
            ...['scope', '--operations', operations, '--seed', seed],
            ...['--shard', String(shard), '--shards', String(shards)],
          ]),
        ),
      );
      let sums = [0, 0, 0, 0];
      for (const { code, output } of results) {
        const line =
          /(\d+) workloads, (\d+) crash points \((\d+) of them sampled\), (\d+) states/.exec(
            output,
          );
        if (line) sums = sums.map((sum, i) => sum + Number(line[i + 1]));
        if (code !== 0) {
          process.stdout.write(output);
          const again = ['--operations', operations, '--seed', seed];
          process.stdout.write(`To see it again:\n${replayed('scope', again)}`);
        }
      }
      process.stdout.write(
        `${sums[0]} workloads, ${sums[1]} crash points (${sums[2]} of them with a sample of 4,096 ` +
          `subsets), ${sums[3]} states recovered, each twice\n`,
      );
      return results.every(({ code }) => code === 0);
    });
  },
};

export const teeth = {
  summary: 'deliberately broken builds, each noticed by the invariant that is named for it',
  options: {
    seeds: { what: 'within how many seeds', default: '2000' },
    ...common,
    defect: { what: 'only this one', default: '' },
  },
  long: {},
  async run(values) {
    const args = [
      'teeth',
      '--seeds',
      whole(values, 'seeds', 1),
      '--seed',
      whole(values, 'seed', 0),
    ];
    if (values.defect !== '') args.push('--defect', values.defect);
    return await withPrograms(values, ['small'], async (program) => {
      const { code, output } = await program('small', args);
      process.stdout.write(output);
      if (code !== 0) process.stdout.write(`To see it again:\n${replayed('teeth', args.slice(1))}`);
      return code === 0;
    });
  },
};
