// A process or a worker that ends without closing its store: what was appended before is there,
// the directory is free, and nothing hangs or crashes.
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { openStore } from '#espora/index.js';
import { runProgram } from '#espora/lab/program.js';
import type { Ended } from '#espora/lab/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const fixture = fileURLToPath(new URL('../fixtures/store-main.js', import.meta.url));

const run = (how: string, directory: string): Promise<Ended> =>
  runProgram(process.execPath, [fixture, how, directory]);

/** How many records are there; checks that they are a prefix of what was appended. */
async function prefix(t: ExecutionContext, directory: string): Promise<number> {
  const store = await openStore(directory, { create: false });
  let count = 0;
  for await (const { seq, value } of store.read()) {
    count += 1;
    if (seq !== count || Buffer.from(value).toString() !== `record ${count}`) {
      t.fail(`record ${count}`);
      break;
    }
  }
  await store.close();
  return count;
}

for (const [how, exitCode] of [
  ['exit', 7],
  ['throw', 1],
  ['end', 0],
  ['worker-exit', 0],
] as const) {
  test(`${how}: everything that was appended is there`, async (t) => {
    const directory = temporaryDirectory(t);
    const { exitCode: code, stderr } = await run(how, directory);
    t.is(code, exitCode, stderr);
    t.is(await prefix(t, directory), 20_000);
  });
}

test('a worker that is terminated: what it was told is there', async (t) => {
  const directory = temporaryDirectory(t);
  const { exitCode: code, stderr } = await run('worker-terminate', directory);
  t.is(code, 0, stderr);
  t.true((await prefix(t, directory)) >= 1);
});

test('an open store with nothing to do keeps no process alive', async (t) => {
  const { exitCode: code, stderr } = await run('idle', temporaryDirectory(t));
  t.is(code, 0, stderr);
});
