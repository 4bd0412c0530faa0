// `npm run bench` as it is run: every trial, its figures and ratios, and how it fails. No figure is
// judged: a machine at work may be as slow as it likes.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { RunningProgram, runProgram } from '#espora/lab/program.js';
import type { Ended } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';
import type { Machine } from '../../bench/lib/machine.js';
import type { Budget, Report, Value } from '../../bench/lib/report.js';
import type { Figure } from '../../bench/lib/statistics.js';
import { TrialFailure } from '../../bench/lib/trial.js';
import { checkFingerprints } from '../../bench/micro/contestants.js';
import { microTrials } from '../../bench/micro/index.js';
import { toolsMissing } from '../campaigns/tools.js';
import { whereToolsBuild } from '../crash/disks.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

interface Output {
  readonly machine: Machine;
  readonly small: boolean;
  readonly reports: readonly Report[];
}

const main = '.build/bench/main.js';

/** Under a sanitizer: its library belongs into the addon that it was compiled into, not here. */
function environment(): NodeJS.ProcessEnv {
  const { LD_PRELOAD: _, ...env } = process.env;
  return env;
}

const run = (command: string, args: readonly string[]): Promise<Ended> =>
  runProgram(command, args, { env: environment() });

const bench = (...args: string[]): Promise<Ended> => run(process.execPath, [main, ...args]);

const measured = whereToolsBuild('bench.test.ts');

if (toolsMissing() === undefined) {
  test.before('the native code of the benchmarks is built', async (t) => {
    const { exitCode, stderr } = await run(process.execPath, ['scripts/ensure.mjs', '--bench']);
    t.is(exitCode, 0, stderr);
  });
}

/** A directory for data that must be empty again when the run has ended. */
async function inDirectory(
  t: ExecutionContext,
  work: (directory: string) => Promise<void>,
): Promise<void> {
  const directory = temporaryDirectory(t);
  await work(directory);
  t.deepEqual(await readdir(directory), []);
}

const isFigure = (value: Value | undefined): value is Figure => typeof value === 'object';

function checkFigure(t: ExecutionContext, figure: Figure, what: string): void {
  t.true(figure.min <= figure.median && figure.median <= figure.max, what);
  t.true(figure.min > 0 && Number.isFinite(figure.max), what);
  t.is(figure.rounds, 3, what);
}

measured(
  '--small --json: every micro trial with its ratios, and nothing else on stdout',
  async (t) => {
    await inDirectory(t, async (directory) => {
      const { exitCode, stdout, stderr } = await bench(
        '--small',
        '--json',
        '--only=micro',
        `--data=${directory}`,
      );
      t.is(exitCode, 0, stderr);
      const { machine, small, reports } = JSON.parse(stdout) as Output;
      t.true(small);
      t.is(machine.node, process.version);
      t.regex(machine.commit ?? '', /^([0-9a-f]{12})?$/);
      t.deepEqual(
        reports.map(({ trial }) => trial),
        ['call', 'parse', 'apply', 'encode', 'crc32c', 'append', 'rewriting', 'open'],
      );
      for (const { trial, rows, columns, notes } of reports) {
        const keys = new Set(columns.map(({ key }) => key));
        for (const row of rows) {
          for (const [key, value] of Object.entries(row)) {
            t.true(keys.has(key), `${trial}: ${key} has no column`);
            if (isFigure(value)) checkFigure(t, value, `${trial}: ${key}`);
          }
        }
        t.true(notes.every((note) => note.endsWith('.')));
      }
      checkOperations(t, reports);
      checkAppend(t, reports);
    });
  },
);

/** Each of these has each case in JavaScript, called one by one, and inside the data plane. */
function checkOperations(t: ExecutionContext, reports: readonly Report[]): void {
  for (const name of ['parse', 'apply', 'encode', 'crc32c']) {
    const { rows } = reports.find(({ trial }) => trial === name)!;
    const trial = microTrials.find((one) => one.name === name)!;
    for (const { title } of trial.cases) {
      const ofCase = rows.filter((row) => row['case'] === title);
      for (const variant of ['JavaScript', 'native, one by one', 'native, data plane']) {
        const row = ofCase.find((one) => one['variant'] === variant);
        t.truthy(row, `${name}: ${title}: ${variant}`);
        t.true(isFigure(row?.['ns']));
        const ratio = row?.['speed over javascript'];
        t.true(variant === 'JavaScript' ? ratio === 1 : isFigure(ratio), `${name}: ${variant}`);
      }
    }
  }
}

function checkAppend(t: ExecutionContext, reports: readonly Report[]): void {
  const { rows, budgets } = reports.find(({ trial }) => trial === 'append')!;
  for (const inFlight of ['1', '64', '4,096']) {
    const of = (variant: string) =>
      rows.find((row) => row['inFlight'] === inFlight && row['variant'] === variant);
    t.true(isFigure(of('bare loop, one block')?.['p50']), inFlight);
    const store = of('the store');
    for (const key of ['p50', 'p99', 'p50Ratio', 'rateRatio']) t.true(isFigure(store?.[key]), key);
  }
  const held = ({ comparison, limit, measured: { median } }: Budget) =>
    comparison === '≤' ? median <= limit : median >= limit;
  t.deepEqual(
    budgets.map(({ comparison, limit }) => [comparison, limit]),
    [
      ['≤', 1.15],
      ['≥', 0.8],
    ],
  );
  for (const budget of budgets) {
    checkFigure(t, budget.measured, budget.what);
    t.is(budget.holds, held(budget), budget.what);
  }
}

measured('a table for people, with the machine above it', async (t) => {
  await inDirectory(t, async (directory) => {
    const { exitCode, stdout } = await bench('--small', '--only', 'apply', '--data', directory);
    t.is(exitCode, 0);
    t.regex(stdout, /^\d+ × .*\ndisk: .*\nNode\.js v.*, commit .*\n/);
    t.regex(stdout, /apply: the ledger .*\n┌/);
    t.regex(stdout, /native, data plane +│ +[\d.]+ \([\d.]+–[\d.]+\)/);
  });
});

test.serial('--list names every trial with its group', async (t) => {
  const { exitCode, stdout } = await bench('--list');
  t.is(exitCode, 0);
  for (const { name, title } of microTrials) t.true(stdout.includes(`micro\t${name}\t${title}\n`));
});

for (const [title, args, message] of [
  [
    'an unknown trial',
    ['--only', 'parse,nonsense'],
    /^There is no trial or group "nonsense"; there are: /,
  ],
  ['an unknown option', ['--fast'], /^unknown option '--fast'/],
  ['a stray word', ['parse'], /^too many arguments/],
  ['publishing small figures', ['--small', '--write'], /^--write with --small /],
  ['publishing a part', ['--write', '--only', 'parse'], /^--write needs whole groups: /],
] as const) {
  test.serial(`${title} is one sentence and exit code 2, and nothing runs`, async (t) => {
    await inDirectory(t, async (directory) => {
      const documents = ['bench/README.md', 'bench/results/micro.md'];
      const texts = () => Promise.all(documents.map((file) => readFile(file, 'utf8')));
      const before = await texts();
      const ended = await bench(...args, '--data', directory);
      t.is(ended.exitCode, 2);
      t.is(ended.stdout, '');
      t.regex(ended.stderr, message);
      t.notRegex(ended.stderr, /\n +at /, 'no stack trace');
      t.deepEqual(await texts(), before);
    });
  });
}

measured(
  'a full disk is one sentence that names the contestant, and nothing is left',
  async (t) => {
    await inDirectory(t, async (directory) => {
      // No file may grow beyond 8 MiB: the bare loop's does.
      const command = `ulimit -f 8192; exec "$0" ${main} --small --json --only append --data "$1"`;
      const ended = await run('bash', ['-c', command, process.execPath, directory]);
      t.is(ended.exitCode, 1);
      t.is(ended.stdout, '');
      t.regex(ended.stderr, /^append, 1, bare loop, one block: .*File too large \(EFBIG\)\n$/);
    });
  },
);

measured('a contestant that dies fails the run, by name, and nothing is left', async (t) => {
  await inDirectory(t, async (directory) => {
    const running = bench('--json', '--only', 'apply', '--data', directory);
    const [victim] = await until('a contestant runs', async () => {
      const found = await contestantsIn(directory);
      return found.length > 0 && found;
    });
    process.kill(victim!, 'SIGKILL');
    const ended = await running;
    t.is(ended.exitCode, 1);
    t.is(ended.stdout, '');
    t.regex(ended.stderr, /^apply, .*: the process ended \(SIGKILL\)\n$/);
    t.deepEqual(await contestantsIn(directory), []);
  });
});

measured('an interrupted run ends its processes and removes its data', async (t) => {
  await inDirectory(t, async (directory) => {
    const args = [main, '--only', 'append', '--data', directory];
    const program = new RunningProgram(process.execPath, args, { env: environment() });
    await until('a contestant runs', async () => (await contestantsIn(directory)).length > 0);
    t.is((await program.stop('SIGINT')).exitCode, 130);
    await until('none is left', async () => (await contestantsIn(directory)).length === 0);
  });
});

/** Processes that were given a directory below this one. */
async function contestantsIn(directory: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const line = await readFile(join('/proc', name, 'cmdline'), 'utf8').catch(() => '');
    if (line.includes('contestant-process') && line.includes(`${directory}/`)) {
      found.push(Number(name));
    }
  }
  return found;
}

test('contestants that did not do the same work are refused, by name', (t) => {
  t.notThrows(() =>
    checkFingerprints([
      ['a', 'x'],
      ['b', 'x'],
    ]),
  );
  t.throws(
    () =>
      checkFingerprints([
        ['a', 'x'],
        ['b', 'x'],
        ['c', 'y'],
      ]),
    { instanceOf: TrialFailure, message: '"a" and "c" did not do the same work' },
  );
});
