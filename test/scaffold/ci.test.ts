// .ci/run with other steps: what it counts, what runs at once, and that nothing is left out in silence.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { RunningProgram } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';
import { isRunning } from '../helpers/process.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';
import { checkout } from './project.js';

/** A folder with .ci/run in it, its steps replaced by `steps`: functions of which `all` is one. */
function project(t: ExecutionContext, steps: string): string {
  const folder = temporaryDirectory(t);
  const script = readFileSync(join(checkout, '.ci/run'), 'utf8');
  const from = script.indexOf('# --- The steps ---');
  const to = script.indexOf('if [ "${1:-}" = --inside ]; then');
  t.true(from > 0 && to > from);
  mkdirSync(join(folder, '.ci'));
  writeFileSync(join(folder, '.ci/run'), `${script.slice(0, from)}${steps}\n${script.slice(to)}`);
  return folder;
}

const start = (folder: string, names: readonly string[] = []) =>
  new RunningProgram('bash', ['.ci/run', ...names], { cwd: folder });

interface Outcome {
  readonly code: number | null;
  readonly output: string;
  readonly last: string | undefined;
}

async function play(folder: string, ...names: readonly string[]): Promise<Outcome> {
  const { exitCode: code, stdout: output } = await start(folder, names).ended;
  return { code, output, last: output.trimEnd().split('\n').at(-1) };
}

test('each kind of step is counted by its log, and the table has times and shares', async (t) => {
  const folder = project(
    t,
    `
    says() { printf '%s\\n' "$@"; }
    all() {
      step plain 20 one true
      step ava 20 ava says '  3 tests passed' '  1 test skipped'
      step native 20 native says 'native tests (release): 5 passed, 2 failed, 1 skipped'
      step nothing 20 ava true
      step broken 20 one false
    }`,
  );
  const { code, output, last } = await play(folder);
  t.is(code, 1);
  t.is(last, '9 passed, 4 failed');
  t.regex(output, /^ava +3 passed +0 failed +1 skipped +\d+ s +\d+ % +\d+ s of CPU +\d+ % +ok$/m);
  t.regex(output, /^native +5 passed +2 failed +1 skipped .* FAILED \(exit 0\)$/m);
  t.regex(output, /^nothing +0 passed +1 failed .* FAILED \(exit no-tests\)$/m);
  t.regex(output, /^broken +0 passed +1 failed .* FAILED \(exit 1\)$/m);
  t.true(output.endsWith(readFileSync(join(folder, '.build/ci/table'), 'utf8')));
  t.deepEqual(await play(folder, 'plain').then(({ code, last }) => [code, last]), [
    0,
    '1 passed, 0 failed',
  ]);
  t.deepEqual(await play(folder, 'plain', 'plane').then(({ code, last }) => [code, last]), [
    1,
    '1 passed, 1 failed',
  ]);
});

test('lanes run at once, the steps of a lane one after the other', async (t) => {
  const folder = project(
    t,
    `
    meet() { touch "$1"; until [ -e "$2" ]; do sleep 0.05; done; }
    left() { step first 60 one meet a b; step second 60 one test -e a; }
    right() { step third 60 one meet b a; }
    all() { at_once left right; step last 60 one test -e a -a -e b; }`,
  );
  const { code, last } = await play(folder);
  t.is(code, 0);
  t.is(last, '4 passed, 0 failed');
});

test('a step that never ran is a failure', async (t) => {
  const folder = project(
    t,
    `
    lane() { step first 20 one true; [ -n "$planning" ] || exit 0; step second 20 one true; }
    all() { at_once lane; }`,
  );
  const { code, output, last } = await play(folder);
  t.is(code, 1);
  t.is(last, '1 passed, 1 failed');
  t.regex(output, /^second .* NEVER RAN$/m);
});

test('a signal ends every lane, and what its step started', async (t) => {
  const folder = project(
    t,
    `
    hang() { sleep 600 & echo $! >"$1.tmp"; mv "$1.tmp" "$1"; wait; }
    left() { step one 600 one hang left.pid; step never 600 one touch went-on; }
    right() { step two 600 one hang right.pid; }
    all() { at_once left right; step after 600 one touch went-on; }`,
  );
  const files = ['left.pid', 'right.pid'].map((name) => join(folder, name));
  const run = start(folder);
  await until('both lanes run', () => files.every((file) => existsSync(file)));
  const { exitCode: code } = await run.stop();
  t.is(code, 143);
  for (const file of files) {
    const pid = Number(readFileSync(file, 'utf8'));
    await until(`${pid} is gone`, () => !isRunning(pid));
  }
  t.false(existsSync(join(folder, 'went-on')));
});
