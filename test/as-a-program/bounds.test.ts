// What waits for the disk is bounded by what it costs, not by what it holds: a burst of small appends
// is refused before the heap is full.
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { openStore } from '#espora/index.js';
import { outputOf } from '#espora/lab/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const fixture = fileURLToPath(new URL('../fixtures/store-burst.js', import.meta.url));

for (const what of ['append', 'appendBatch', 'flush']) {
  test(`a burst of ${what} in a heap of 64 MiB`, async (t) => {
    const directory = temporaryDirectory(t);
    const heap = ['--max-old-space-size=64', '--max-semi-space-size=4'];
    const stdout = await outputOf(process.execPath, [...heap, fixture, what, directory]);
    const { stored, refused } = JSON.parse(stdout) as { stored: number; refused: number };
    t.is(stored + refused, 200_000);
    if (what !== 'flush') t.true(refused > 100_000 && stored > 10_000, stdout);
  });
}

test('one append fits, however small the bound; what it costs is told and given back', async (t) => {
  const store = await openStore(temporaryDirectory(t), {
    segmentBytes: 1 << 20,
    pendingBytesMax: 1,
  });
  const one = store.append(Buffer.alloc(8));
  t.true(store.stats().pendingBytes >= 512);
  const refused = { code: 'ERR_ESPORA_OVERLOADED', message: /await some of them/ };
  await t.throwsAsync(store.append(Buffer.alloc(8)), refused);
  await t.throwsAsync(store.appendBatch([Buffer.alloc(8)]), refused);
  t.is((await one).seq, 1);
  t.is(store.stats().pendingBytes, 0);
  t.is((await store.append(Buffer.alloc(8))).seq, 2);
  await store.close();
});
