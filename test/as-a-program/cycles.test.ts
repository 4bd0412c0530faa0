// What is closed is gone: hundreds of stores and services, opened, used and closed in one process, take
// the memory and the descriptors of one.
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { outputOf } from '#espora/lab/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const fixture = fileURLToPath(new URL('../fixtures/cycles.js', import.meta.url));

for (const [what, cycles] of [
  // What makes files takes longer; fewer of it that stayed would still be far beyond the bounds below.
  ['store', 400],
  ['store that fails to open', 1000],
  ['balancer', 1000],
  ['api', 1000],
  ['database', 400],
  ['services that never start', 3000],
] as const) {
  test(`${cycles} times: ${what}`, async (t) => {
    t.timeout(300_000);
    const args = ['--expose-gc', fixture, what, `${cycles}`, temporaryDirectory(t)];
    const stdout = await outputOf(process.execPath, args);
    const found = JSON.parse(stdout) as Record<
      'alive' | 'descriptors' | 'threads' | 'mebibytes',
      number
    >;
    // The last one may still be on the stack, or in a promise that just settled.
    t.true(found.alive <= 5, stdout);
    t.is(found.descriptors, 0, stdout);
    t.is(found.threads, 0, stdout);
    // Each kept 3 MiB and more, which is 1.2 GiB of 400; what the allocator keeps for later is far less.
    t.true(found.mebibytes < 256, stdout);
  });
}
