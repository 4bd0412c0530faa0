// Every script says what its flags are, and what is wrong with one, without a stack trace.

import { spawnSync } from 'node:child_process';
import test from 'ava';

const scripts = [
  'build-native',
  'build-native-cmake',
  'differential',
  'docker-test',
  'ensure',
  'fuzz',
  'lint',
  'test-native',
];

function run(script: string, ...args: readonly string[]) {
  return spawnSync(process.execPath, [`scripts/${script}.mjs`, ...args], { encoding: 'utf8' });
}

for (const script of scripts) {
  test(`${script} says what its flags are`, (t) => {
    const { status, stdout, stderr } = run(script, '--help');
    t.deepEqual([status, stderr], [0, '']);
    t.regex(stdout, /--[a-z]+/);
    t.notRegex(stdout, /^\/\/|import /m);
  });

  test(`${script} names a flag that it does not have`, (t) => {
    const { status, stdout, stderr } = run(script, '--nonsense');
    t.deepEqual([status, stdout], [2, '']);
    t.is(stderr, "Unknown option '--nonsense' (--help says what there is)\n");
  });
}
