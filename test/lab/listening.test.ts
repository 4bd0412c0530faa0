// Waiting for a program to listen.
import { join } from 'node:path';
import test from 'ava';
import { freePort } from '#espora/lab/free-port.js';
import { accepts, untilListening } from '#espora/lab/listening.js';
import { RunningProgram } from '#espora/lab/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const patienceMs = 240_000;

test('it takes connections, on a port or a unix socket, and once it has ended no more', async (t) => {
  for (const where of [
    { port: await freePort() },
    { path: join(temporaryDirectory(t), 'socket') },
  ]) {
    t.false(await accepts(where));
    const script = `
      const where = ${JSON.stringify(where)};
      require('node:net').createServer().listen({ host: '127.0.0.1', ...where });`;
    const program = new RunningProgram(process.execPath, ['-e', script]);
    t.teardown(() => program.child.kill('SIGKILL'));
    await untilListening(program, where, patienceMs);
    t.true(await accepts(where));
    await program.stop();
    t.false(await accepts(where));
  }
});

test('a program that ends instead is told about, with the last that it said', async (t) => {
  const where = { path: join(temporaryDirectory(t), 'socket') };
  const args = ['-e', "console.error('first\\nlast'); process.exit(1)"];
  const program = new RunningProgram(process.execPath, args);
  await t.throwsAsync(untilListening(program, where, patienceMs), {
    message: 'did not start: last',
  });
});

test('patience ends, and the program still runs', async (t) => {
  const where = { path: join(temporaryDirectory(t), 'socket') };
  const program = new RunningProgram(process.execPath, ['-e', 'setInterval(() => 0, 1000)']);
  await t.throwsAsync(untilListening(program, where, 0), { message: /^did not start/ });
  t.false(program.hasEnded);
  await program.stop();
});
