// An open store is one directory for all of its life, whatever a path means by then.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { openStore } from '#espora/index.js';
import { outputOf } from '#espora/lab/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const program = fileURLToPath(new URL('../fixtures/store-moves.js', import.meta.url));

for (const how of ['chdir', 'chdir-at-once', 'renamed', 'replaced']) {
  test(`appends, reads, verify and backup are of one store: ${how}`, async (t) => {
    const folder = temporaryDirectory(t);
    const stdout = await outputOf(process.execPath, [program, how, folder]);
    const seen = JSON.parse(stdout) as Record<string, unknown>;
    t.like(seen, { rows: 25, words: ['here', 'later'], first: 'here 1', verified: 25, backup: 25 });
    t.is(seen['directory'], join(folder, 'here', 'data'));
    // A backup goes to where the path points at the call.
    t.true((seen['names'] as string[]).includes('backup'));
  });
}

test('LOCK removed while a store is open lets no second writer in', async (t) => {
  const directory = join(temporaryDirectory(t), 'store');
  const store = await openStore(directory, { segmentBytes: 1 << 20 });
  for (let i = 0; i < 20; i++) await store.append(Buffer.from(`first ${i}`));
  rmSync(join(directory, 'LOCK'));
  const error = await t.throwsAsync(openStore(directory));
  t.like(error, { code: 'ERR_ESPORA_LOCKED' });
  for (let i = 0; i < 20; i++) await store.append(Buffer.from(`first ${i}`));
  await store.close();
  const again = await openStore(directory);
  t.is(again.durableSeq, 40);
  t.is(Number.parseInt(readFileSync(join(directory, 'LOCK'), 'latin1'), 10), process.pid);
  await again.close();
});
