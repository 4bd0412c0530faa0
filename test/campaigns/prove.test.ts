// `npm run prove` as a person calls it.
import test from 'ava';
import { runProgram } from '#espora/lab/program.js';
import type { Ended } from '#espora/lab/program.js';
import { whereToolsBuild } from '../crash/disks.js';

const prove = (...args: string[]): Promise<Ended> =>
  runProgram(process.execPath, ['scripts/prove.mjs', ...args]);

test('what it does not know is one sentence that names what there is', async (t) => {
  const { exitCode, stderr } = await prove('rain');
  t.is(exitCode, 1);
  t.regex(stderr, /^There is no campaign "rain"\./);
  for (const name of ['kill', 'faults', 'order', 'power']) {
    t.regex(stderr, new RegExp(`^${name}: `, 'm'));
  }
  t.notRegex(stderr, /\n +at /);
});

test('a value that can not be right is one sentence', async (t) => {
  for (const [args, message] of [
    [['kill', '--seed', 'seven'], /^--seed seven: give a whole number, 0 or more\.\n$/],
    [['kill', '--kills', '-1'], /argument/],
    [
      ['power', '--file-system', 'ntfs'],
      /^--file-system ntfs: give one of ext4, xfs, btrfs, or all\.\n$/,
    ],
  ] as const) {
    const { exitCode, stderr } = await prove(...args);
    t.is(exitCode, 1, stderr);
    t.regex(stderr, message);
  }
});

whereToolsBuild('prove.test.ts')(
  'a campaign that finds nothing says what it did, and with which seed',
  async (t) => {
    const { exitCode, stdout, stderr } = await prove('kill', '--kills', '2', '--seed', '7');
    t.is(exitCode, 0, stderr);
    t.regex(stdout, /^seed 7: kills 2, /);
    t.regex(stdout, /^prove kill: nothing found, \d+ s$/m);
  },
);
