// Handing clients over between services of different users: both ends have to be told of the other.
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Balancer } from '#espora/index.js';
import { RunningProgram } from '#espora/lab/program.js';
import { statement } from '../helpers/http.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const isRoot = process.getuid!() === 0;
const asOthers = isRoot ? test : test.skip;
if (!isRoot) {
  test('handing over between users', (t) => {
    t.log('skipped: it needs root, to be two users');
    t.pass();
  });
}

const nobody = 65_534;

// Everything is loaded before it becomes somebody who may not be allowed to read it.
const program = `
  const { Database } = await import(process.argv[1]);
  const { unixSocket, data, handoffUsers } = JSON.parse(process.argv[2]);
  const database = new Database({ unixSocket, unixSocketMode: 0o666, data, ...(handoffUsers && { handoffUsers }) });
  process.setgroups([]); process.setgid(${nobody}); process.setuid(${nobody});
  await database.start();
  console.log('started');
`;

/** A database that runs as nobody; returns its socket. */
async function startAsNobody(
  t: ExecutionContext,
  handoffUsers: readonly number[] | undefined,
): Promise<string> {
  const directory = temporaryDirectory(t);
  chmodSync(directory, 0o755);
  const own = join(directory, 'own');
  mkdirSync(own);
  chmodSync(own, 0o755);
  chownSync(own, nobody, nobody);
  const unixSocket = join(own, 'database.sock');
  const options = JSON.stringify({ unixSocket, data: join(own, 'data'), handoffUsers });
  const args = ['--input-type=module', '-e', program, import.meta.resolve('#espora/index.js')];
  const database = new RunningProgram(process.execPath, [...args, options]);
  t.teardown(() => database.stop('SIGKILL'));
  t.is(await database.heard(() => database.lines[0]), 'started', database.stderr);
  return unixSocket;
}

/** What a client gets through a balancer that hands over to this socket: a status, or an error. */
async function askThrough(
  unixSocket: string,
  handoffUsers: readonly number[] | undefined,
): Promise<number | string> {
  const balancer = new Balancer({
    listen: { host: '127.0.0.1', port: 0, ...(handoffUsers && { handoffUsers }) },
    upstreams: [unixSocket],
    mode: 'handoff',
    timeouts: { connect: 300 },
  });
  const { port } = await balancer.start();
  try {
    return (await statement({ port: port! }, 1)).status;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    await balancer.stop({ drain: 0 });
  }
}

asOthers('clients go to another user whom both ends know', async (t) => {
  const socket = await startAsNobody(t, [process.getuid!()]);
  t.is(await askThrough(socket, [33, nobody]), 200);
});

asOthers('not to one whom the sender does not know', async (t) => {
  const socket = await startAsNobody(t, [process.getuid!()]);
  t.not(await askThrough(socket, undefined), 200);
  t.not(await askThrough(socket, [33]), 200);
  t.is(await askThrough(socket, [nobody]), 200, 'and it was only that');
});

asOthers('not from one whom the receiver does not know', async (t) => {
  const socket = await startAsNobody(t, undefined);
  t.not(await askThrough(socket, [nobody]), 200);
});
