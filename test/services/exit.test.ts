// Programs that end without stopping their services, or stop them and then have nothing left to do.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Database } from '#espora/index.js';
import type { Ended } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';
import { balance } from '../helpers/http.js';
import { Program } from '../helpers/program.js';
import { isRunning } from '../helpers/process.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const fixture = fileURLToPath(new URL('../fixtures/exit-without-stop.js', import.meta.url));

function begin(t: ExecutionContext, way: string): { program: Program; directory: string } {
  const directory = temporaryDirectory(t);
  const args = [fixture, join(directory, 'data'), join(directory, 'db.sock'), way];
  return { program: new Program(t, process.execPath, args, {}), directory };
}

/** What was answered is there, and the store has no holder any more. */
async function holdsTheCredit(t: ExecutionContext, directory: string): Promise<void> {
  const unixSocket = join(directory, 'db.sock');
  const database = new Database({ data: join(directory, 'data'), unixSocket });
  t.teardown(() => database.stop({ drain: 0 }));
  await database.start();
  t.is(await balance({ unixSocket }, 1), 1);
  await database.stop();
}

for (const [way, exitCode, stderr] of [
  ['exit', 7, /^$/],
  ['throw', 1, /Error: uncaught/],
  ['stop', 0, /^$/],
] as const) {
  test(`a program that ends by ${way} ends cleanly and loses nothing`, async (t) => {
    const { program, directory } = begin(t, way);
    const ended: Ended = await program.ended;
    t.is(ended.signal, null);
    t.is(ended.exitCode, exitCode);
    t.regex(ended.stderr, stderr);
    await holdsTheCredit(t, directory);
  });
}

test('services that run keep a program alive, and a kill -9 loses nothing', async (t) => {
  const { program, directory } = begin(t, 'stay');
  await until('it has answered', () => program.stdout.includes('answered'));
  t.true(isRunning(program.pid));
  t.is((await program.stop('SIGKILL')).signal, 'SIGKILL');
  await holdsTheCredit(t, directory);
});
