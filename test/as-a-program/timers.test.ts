// Under a clock that only moves when it is told to, as test runners have it: what is appended settles,
// whether the functions were replaced after the library was loaded or before. Each case is a process
// of its own: what is replaced there is replaced for the test runner too.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { openStore } from '#espora/index.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const fixture = fileURLToPath(new URL('../fixtures/store-frozen.js', import.meta.url));

for (const when of [
  'after loading',
  'before loading',
  'while opening',
  'throwing',
  'nothing else',
]) {
  test(`functions replaced: ${when}`, async (t) => {
    const directory = temporaryDirectory(t);
    const child = spawn(process.execPath, [fixture, when, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    t.deepEqual(await once(child, 'close'), [0, null]);
    t.is(stdout, 'all settled\n');
    const store = await openStore(directory, { create: false });
    t.is(store.durableSeq, 104);
    await store.close();
  });
}
