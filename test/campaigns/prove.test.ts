// `npm run prove` as a person calls it.
import test from 'ava';
import { spawnSync } from 'node:child_process';
import { whereToolsBuild } from '../crash/disks.js';

function prove(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/prove.mjs', ...args], {
    encoding: 'utf8',
  });
  return { code: status, stdout, stderr };
}

test('what it does not know is one sentence that names what there is', (t) => {
  const { code, stderr } = prove('rain');
  t.is(code, 1);
  t.regex(stderr, /^There is no campaign "rain"\./);
  for (const name of ['kill', 'faults', 'order', 'power']) {
    t.regex(stderr, new RegExp(`^${name}: `, 'm'));
  }
  t.notRegex(stderr, /\n +at /);
});

test('a value that can not be right is one sentence', (t) => {
  for (const [args, message] of [
    [['kill', '--seed', 'seven'], /^--seed seven: give a whole number, 0 or more\.\n$/],
    [['kill', '--kills', '-1'], /argument/],
    [
      ['power', '--file-system', 'ntfs'],
      /^--file-system ntfs: give one of ext4, xfs, btrfs, or all\.\n$/,
    ],
  ] as const) {
    const { code, stderr } = prove(...args);
    t.is(code, 1, stderr);
    t.regex(stderr, message);
  }
});

whereToolsBuild('prove.test.ts')(
  'a campaign that finds nothing says what it did, and with which seed',
  (t) => {
    const { code, stdout, stderr } = prove('kill', '--kills', '2', '--seed', '7');
    t.is(code, 0, stderr);
    t.regex(stdout, /^seed 7: kills 2, /);
    t.regex(stdout, /^prove kill: nothing found, \d+ s$/m);
  },
);
