// `npm run test:native`: builds and runs every native test (GoogleTest), one program per room.
// --sanitize address,undefined | thread: with sanitizers; --rooms store,http: only these;
// --filter PATTERN: only these tests, as in --gtest_filter; --addon: also builds the addon, from the same
// objects, as espora.node in the same folder (for ESPORA_ADDON); --verbose: all output as it comes.

import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { configureAndBuild, sanitizerSuffix } from './lib/cmake.mjs';
import { readFlags } from './lib/flags.mjs';
import { locked } from './lib/lock.mjs';
import { at } from './lib/project.mjs';
import { Failure, run, runScript } from './lib/run.mjs';

const values = readFlags(import.meta.url, {
  sanitize: { type: 'string', default: '' },
  rooms: { type: 'string', default: '' },
  filter: { type: 'string', default: '*' },
  addon: { type: 'boolean', default: false },
  verbose: { type: 'boolean', default: false },
});

/** Sanitizer options: report the first finding with its place, and make the program fail. */
const sanitizerOptions = {
  ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1',
};

/** gcc 12's TSan cannot map its shadow memory if the kernel randomizes more than 28 bits. */
function withoutWideRandomization(command) {
  if (values.sanitize !== 'thread') return command;
  const bits = Number(readFileSync('/proc/sys/vm/mmap_rnd_bits', 'utf8'));
  return bits > 28 ? ['setarch', '-R', ...command] : command;
}

/** The sums of the reports in `folder`, one for the tests of each room or of a part of it. */
function totals(folder) {
  const sum = { tests: 0, failures: 0, skipped: 0 };
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
    const report = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    for (const { testsuite } of report.testsuites) {
      for (const one of testsuite) {
        if (one.status !== 'RUN') continue; // not chosen by the filter, or disabled
        sum.tests += 1;
        if (one.failures !== undefined) sum.failures += 1;
        if (one.result === 'SKIPPED') sum.skipped += 1;
      }
    }
  }
  return sum;
}

await runScript(async () => {
  const folder = `build-cmake-native${sanitizerSuffix(values.sanitize)}`;
  return await locked(folder, async () => {
    const rooms = values.rooms.split(/[,;]/).filter((room) => room !== '');
    await configureAndBuild(
      folder,
      {
        CMAKE_BUILD_TYPE: 'RelWithDebInfo',
        ESPORA_SANITIZE: values.sanitize,
        ESPORA_ROOMS: rooms.join(';'),
        ESPORA_ADDON: values.addon ? 'ON' : 'OFF',
      },
      { show: values.verbose },
    );

    const reports = at(folder, 'reports');
    rmSync(reports, { recursive: true, force: true });
    mkdirSync(reports);
    const [command, ...args] = withoutWideRandomization([
      'ctest',
      '--test-dir',
      at(folder),
      '--output-on-failure',
      '--no-tests=error',
      '--timeout',
      '1800',
      '--parallel',
      String(availableParallelism()),
    ]);
    const { code, output } = await run(command, args, {
      show: values.verbose,
      env: {
        ...process.env,
        ...sanitizerOptions,
        GTEST_FILTER: values.filter,
      },
    });
    if (code !== 0) process.stderr.write(output);

    const { tests, failures, skipped } = totals(reports);
    const kind = values.sanitize === '' ? 'release' : values.sanitize;
    process.stdout.write(
      `native tests (${kind}): ${tests - failures - skipped} passed, ${failures} failed` +
        `${skipped > 0 ? `, ${skipped} skipped` : ''}\n`,
    );
    if (code !== 0) {
      // A crashed program leaves no report, so ctest's verdict counts too.
      throw new Failure('The native tests failed.');
    }
    if (tests === 0) throw new Failure(`No native test matches ${values.filter}.`);
  });
});
