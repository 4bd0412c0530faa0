// On a system that has no room for one more thread: whatever needs one says so, the program lives, and
// the next try works.
import { fileURLToPath } from 'node:url';
import { outputOf } from '#espora/lab/program.js';
import { hookEnvironment } from '../campaigns/tools.js';
import { whereToolsBuild } from '../crash/disks.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const hooked = whereToolsBuild('threads.test.ts');
const fixture = fileURLToPath(new URL('../fixtures/no-threads.js', import.meta.url));

for (const [what, from] of [
  ['store', 1], // the committer
  ['store', 2], // its housekeeping
  ['inspect', 1],
  ['database', 1], // the event thread
  ['database', 2], // housekeeping
  ['balancer', 1], // the event thread
  ['api', 1],
] as const) {
  hooked(`${what}, its thread ${from}`, async (t) => {
    const hook = await hookEnvironment({
      fail: { call: 'pthread_create', error: 11, from, times: 1 },
    });
    const stdout = await outputOf(process.execPath, [fixture, what, temporaryDirectory(t)], {
      env: { ...process.env, ...hook, CALL_HOOK_PROCESS: '' },
    });
    const [first, second] = JSON.parse(stdout) as string[];
    t.regex(first!, /^ERR_ESPORA_RESOURCES true no thread can be started: espora-.*EAGAIN/);
    t.is(second, 'ok');
  });
}

hooked('a balancer that serves, at the first name that has to be looked up', async (t) => {
  const hook = await hookEnvironment({
    fail: { call: 'pthread_create', error: 11, from: 2, times: 1 },
  });
  const stdout = await outputOf(process.execPath, [fixture, 'name', temporaryDirectory(t)], {
    env: { ...process.env, ...hook, CALL_HOOK_PROCESS: '' },
  });
  t.deepEqual(JSON.parse(stdout), ['served', 'served']);
});
