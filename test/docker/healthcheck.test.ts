// The image's health check, as a program of this machine, beside a real database: it finds the service
// by the variables that the service itself reads.
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { Database } from '#espora/index.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const run = promisify(execFile);

test('it is answered where the service listens, and fails where nobody does', async (t) => {
  const directory = temporaryDirectory(t);
  const check = join(directory, 'healthcheck');
  execFileSync('g++', ['-x', 'c', '-std=gnu11', '-O1', '-o', check, 'docker/healthcheck.c']);
  const ends = async (environment: Record<string, string>): Promise<boolean> =>
    run(check, [], { env: environment }).then(
      () => true,
      () => false,
    );

  const unixSocket = join(directory, 'db.sock');
  // No account 1: which there are says nothing about health.
  const accounts = [{ id: 7, limit: 0 }];
  const data = join(directory, 'data');
  const database = new Database({ data, host: '127.0.0.3', port: 0, unixSocket, accounts });
  const PORT = String((await database.start()).port);
  t.true(await ends({ UNIX_SOCKET: unixSocket, PORT: '1' }));
  t.true(await ends({ UNIX_SOCKET: '', ESPORA_HOST: '127.0.0.3', PORT }));
  t.false(await ends({ UNIX_SOCKET: '', ESPORA_HOST: '', PORT }), 'nobody is on 127.0.0.1');
  await database.stop();
  t.false(await ends({ UNIX_SOCKET: unixSocket }));

  const everywhere = new Database({ data, host: '::', port: 0 });
  const other = String((await everywhere.start()).port);
  t.true(await ends({ ESPORA_HOST: '::', PORT: other }));
  t.true(await ends({ ESPORA_HOST: '0.0.0.0', PORT: other }));
  t.true(await ends({ ESPORA_HOST: '', PORT: other }));
  await everywhere.stop();
});
