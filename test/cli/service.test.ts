// One service alone, started by nothing but its environment: lines, names, signals, both listeners.
import { existsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { until } from '#espora/lab/until.js';
import { balance, credit, send, statement } from '../helpers/http.js';
import { titleOf } from '../helpers/process.js';
import { startEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

test.serial(
  'database, api and balancer, one by one, with nothing but their environment',
  async (t) => {
    const directory = temporaryDirectory(t);
    const socket = (name: string): string => join(directory, `${name}.sock`);
    const database = startEspora(t, ['database', '--json'], {
      environment: { UNIX_SOCKET: socket('db'), ESPORA_DATA: join(directory, 'data') },
    });
    await database.event('ready');
    const api = startEspora(t, ['api', '--json'], {
      environment: { UNIX_SOCKET: socket('api'), DB: socket('db'), ESPORA_NAME: 'api 7' },
    });
    await api.event('ready');
    const balancer = startEspora(t, ['balancer', '--json'], {
      environment: {
        PORT: '0',
        ESPORA_HOST: '127.0.0.1',
        UPSTREAMS: `${socket('api')},127.0.0.1:1`,
      },
    });
    const { port } = (await balancer.event('ready')) as unknown as { port: number };
    t.deepEqual(
      [database, api, balancer].map(({ pid }) => titleOf(pid)),
      ['espora database', 'espora api 7', 'espora balancer'],
    );
    // Every second connection goes first to the upstream that nobody listens on.
    for (let i = 0; i < 4; i++) t.is((await credit({ port }, 5, 1)).status, 200);
    t.is(await balance({ port }, 5), 4);
    for (const program of [balancer, api, database]) t.is((await program.stop()).exitCode, 0);
    t.regex(balancer.stderr, /"level":"warn".*127\.0\.0\.1:1 cannot be reached: /);
    t.deepEqual(
      database.events.map(({ event }) => event),
      ['ready', 'stopping', 'stopped'],
    );
    t.false(existsSync(socket('db')));
  },
);

test.serial('a person reads what it listens on and what it does', async (t) => {
  const directory = temporaryDirectory(t);
  const unixSocket = join(directory, 'db.sock');
  const args = ['database', '--host', '127.0.0.1', '--port', '0', '--unix-socket', unixSocket];
  const program = startEspora(t, [...args, '--unix-socket-mode', '660', '--data', 'd'], {
    cwd: directory,
  });
  await until('it is ready', () => program.stdout.includes('\n'));
  const ready =
    /^espora database: ready on 127\.0\.0\.1:(\d+) and (\S+); 0 transactions in d; each answer waits until it is on disk\n$/.exec(
      program.stdout,
    )!;
  t.is(ready[2], unixSocket);
  t.is(statSync(unixSocket).mode & 0o777, 0o660);
  t.is((await statement({ port: Number(ready[1]) }, 1)).status, 200);
  t.is((await statement({ unixSocket }, 1)).status, 200);
  const { stdout, stderr, exitCode } = await program.stop('SIGINT');
  t.is(exitCode, 0);
  t.is(stderr, '');
  t.deepEqual(stdout.split('\n').slice(1), [
    'espora database: stopping; open connections have 5s to end (again: at once)',
    'espora database: stopped',
    '',
  ]);
});

/** A connection with half a request, which the service has seen. */
async function halfRequest(t: ExecutionContext, port: number): Promise<Socket> {
  const client = connect(port, '127.0.0.1');
  t.teardown(() => client.destroy());
  client.on('error', () => undefined);
  await new Promise((resolve) => client.once('connect', resolve));
  client.write('POST /clientes/1/transacoes HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{');
  return client;
}

for (const [signal, again] of [
  ['SIGTERM', 'SIGTERM'],
  ['SIGINT', 'SIGTERM'],
  ['SIGHUP', 'SIGINT'],
] as const) {
  test.serial(`${signal} drains, a later ${again} ends at once`, async (t) => {
    const program = startEspora(t, ['database', '--json', '--drain-timeout', '10m'], {
      environment: { PORT: '0', ESPORA_DATA: join(temporaryDirectory(t), 'data') },
    });
    const { port } = (await program.event('ready')) as unknown as { port: number };
    await halfRequest(t, port);
    t.is((await statement({ port }, 1)).status, 200);
    program.child.kill(signal);
    await program.event('stopping');
    let ended = false;
    void program.ended.then(() => (ended = true));
    await until('it ends', () => {
      program.child.kill(again);
      return ended;
    });
    const { exitCode, stderr } = await program.ended;
    t.is(exitCode, 0);
    t.is(stderr, '');
    t.is(program.events.at(-1)?.event, 'stopped');
  });
}

test.serial('a configuration file serves every service, each takes what is its own', async (t) => {
  const directory = temporaryDirectory(t);
  const { writeFileSync } = await import('node:fs');
  const file = join(directory, 'espora.json');
  writeFileSync(
    file,
    JSON.stringify({
      host: '127.0.0.1',
      port: 0,
      data: join(directory, 'data'),
      db: '/nonexistent.sock',
      accounts: [{ id: 77, limit: 5 }],
      bodyBytesMax: '1KiB',
    }),
  );
  for (const service of ['database', 'api']) {
    const program = startEspora(t, [service, '--json', '--config', file]);
    const { port } = (await program.event('ready')) as unknown as { port: number };
    if (service === 'database') {
      t.is((await statement({ port }, 77)).status, 200);
      t.is((await statement({ port }, 1)).status, 404);
      const body = JSON.stringify({ valor: 1, tipo: 'c', descricao: 'a', resto: 'x'.repeat(1024) });
      t.is((await send({ port }, 'POST', '/clientes/77/transacoes', body)).status, 413);
    }
    t.is((await program.stop()).exitCode, 0);
  }
});

test.serial('a service alone has its metrics too', async (t) => {
  const program = startEspora(t, ['database', '--json', '--metrics-port', '0'], {
    environment: { PORT: '0', ESPORA_DATA: join(temporaryDirectory(t), 'data') },
  });
  const { port } = (await program.event('metrics')) as unknown as { port: number };
  const { body } = await send({ port }, 'GET', '/metrics');
  t.regex(body, /^espora_fsync_interval_seconds\{service="database"\} 0$/m);
  t.regex(body, /^espora_requests_total\{service="database"\} 0$/m);
  t.is((await program.stop()).exitCode, 0);
});
