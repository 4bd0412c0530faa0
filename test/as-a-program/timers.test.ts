// Under a clock that only moves when it is told to, as test runners have it: what is appended settles,
// whether the functions were replaced after the library was loaded or before. Each case is a process
// of its own: what is replaced there is replaced for the test runner too.
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { openStore } from '#espora/index.js';
import { outputOf } from '#espora/lab/program.js';
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
    t.is(await outputOf(process.execPath, [fixture, when, directory]), 'all settled\n');
    const store = await openStore(directory, { create: false });
    t.is(store.durableSeq, 104);
    await store.close();
  });
}
