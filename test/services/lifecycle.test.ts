// The services as objects: every method in every state, options, failures, events.
import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Api, Balancer, Database, EsporaError } from '#espora/index.js';
import type { ErrorCode } from '#espora/index.js';
import { until } from '#espora/lab/until.js';
import { balance, credit, send, statement } from '../helpers/http.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

type AnyService = Pick<Database, 'stop' | typeof Symbol.asyncDispose> & {
  start(): Promise<{ readonly port?: number; readonly addresses: readonly string[] }>;
  stats(): unknown;
};

/** One of each kind, on a port of the kernel's choice. */
const makers: Readonly<Record<string, (t: ExecutionContext) => AnyService>> = {
  Balancer: () => new Balancer({ host: '127.0.0.1', port: 0, upstreams: '/nonexistent' }),
  Api: () => new Api({ host: '127.0.0.1', port: 0, db: '/nonexistent' }),
  Database: (t) => new Database({ host: '127.0.0.1', port: 0, data: temporaryDirectory(t) }),
};

/** The same object, stopped at the latest when the test ends: a running service keeps a process alive. */
function used<Any extends Pick<Database, 'stop'>>(t: ExecutionContext, service: Any): Any {
  t.teardown(() => service.stop({ drain: 0 }));
  return service;
}

async function code(promise: Promise<unknown>): Promise<ErrorCode | undefined> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof EsporaError) return error.code;
    throw error;
  }
  return undefined;
}

for (const [name, make] of Object.entries(makers)) {
  test(`${name}: starts once, stops once`, async (t) => {
    const service = used(t, make(t));
    t.is(service.stats(), undefined);
    const starting = service.start();
    t.is(await code(service.start()), 'ERR_ESPORA_INVALID', 'start while starting');
    const { port, addresses } = await starting;
    t.true(port! > 0);
    t.deepEqual(addresses, [`127.0.0.1:${port}`]);
    t.true(Object.isFrozen(addresses));
    t.truthy(service.stats());
    t.is(await code(service.start()), 'ERR_ESPORA_INVALID', 'start while running');
    const stopping = service.stop();
    t.is(await code(service.start()), 'ERR_ESPORA_INVALID', 'start while stopping');
    t.is(service.stats(), undefined, 'counters while stopping');
    await stopping;
    t.is(await code(service.start()), 'ERR_ESPORA_CLOSED', 'start after the stop');
    t.is(service.stats(), undefined);
    await service.stop();
    await t.throwsAsync(send({ port: port! }, 'GET', '/'), { code: 'ECONNREFUSED' });
  });

  test(`${name}: a stop before the start only forbids it`, async (t) => {
    const service = used(t, make(t));
    const stopped = service.stop();
    t.is(await code(service.start()), 'ERR_ESPORA_CLOSED', 'while it stops');
    await stopped;
    t.is(await code(service.start()), 'ERR_ESPORA_CLOSED');
    await service.stop();
  });

  test(`${name}: a stop during the start waits for it and then stops`, async (t) => {
    const service = used(t, make(t));
    const starting = service.start();
    await service.stop();
    const { port } = await starting;
    await t.throwsAsync(send({ port: port! }, 'GET', '/'), { code: 'ECONNREFUSED' });
  });

  test(`${name}: stops at the same time all end`, async (t) => {
    const service = used(t, make(t));
    await service.start();
    await Promise.all([service.stop({ drain: '1s' }), service.stop({ drain: 0 }), service.stop()]);
    t.is(service.stats(), undefined);
  });

  test(`${name}: a drain time that is none is refused and stops nothing`, async (t) => {
    const service = used(t, make(t));
    const { port } = await service.start();
    for (const drain of ['soon', -1, Number.NaN, '11m']) {
      t.is(await code(service.stop({ drain })), 'ERR_ESPORA_INVALID');
    }
    t.truthy(service.stats());
    t.true(port! > 0);
    await service[Symbol.asyncDispose]();
    t.is(service.stats(), undefined);
  });

  test(`${name}: a port that is taken rejects the start, and the object is done`, async (t) => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    const { port } = server.address() as { port: number };
    const options = { host: '127.0.0.1', port };
    const service = {
      Balancer: () => new Balancer({ ...options, upstreams: '/nonexistent' }),
      Api: () => new Api({ ...options, db: '/nonexistent' }),
      Database: () => new Database({ ...options, data: temporaryDirectory(t) }),
    }[name]!();
    const error = await t.throwsAsync(service.start(), { instanceOf: EsporaError });
    t.is(error.code, 'ERR_ESPORA_ADDRESS_IN_USE');
    t.true(error.definite);
    t.true(error.message.includes(String(port)));
    t.is(await code(service.start()), 'ERR_ESPORA_CLOSED');
    await service.stop();
  });
}

test('options that cannot be right are refused by the constructor, before anything is made', (t) => {
  const data = join(temporaryDirectory(t), 'data');
  for (const make of [
    () => new Balancer({ port: 0 }),
    () => new Balancer({ upstreams: 'localhost' }),
    () => new Balancer({ upstreams: [] }),
    () => new Api({ db: '' }),
    () => new Api({}),
    () => new Database({ data, port: 65536 }),
    () => new Database({ data, fsyncInterval: '10' }),
    () => new Database({ data, accounts: [] }),
    () => new Database({ data, accounts: '/nonexistent.json' }),
    () => new Database({ data, dta: 1 } as object),
    () => new Database({ data, unixSocket: `/${'x'.repeat(107)}` }),
  ]) {
    const error = t.throws(make, { instanceOf: EsporaError });
    t.is(error.code, 'ERR_ESPORA_INVALID');
    t.notRegex(error.message, /\n|\.$/);
  }
  t.false(existsSync(data));
});

test('the options of an object are frozen and whole', (t) => {
  const { options } = new Database({ fsyncInterval: '1s', unixSocket: '/x.sock' });
  t.true(Object.isFrozen(options));
  t.like(options, { fsyncInterval: 1000, data: './data', port: undefined, connectionsMax: 10_000 });
  t.false('logLevel' in options);
});

test('a database says what it found', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const unixSocket = join(temporaryDirectory(t), 'db.sock');
  const first = used(t, new Database({ data, unixSocket }));
  const empty = await first.start();
  t.like(empty, { unixSocket, store: { records: 0, lastSeq: 0, readOnly: false } });
  t.false('port' in empty);
  for (let i = 0; i < 3; i++) t.is((await credit({ unixSocket }, 1, 1)).status, 200);
  t.like(first.stats(), { transactions: 3, durableSeq: 3, answers2xx: 3 });
  await first.stop();
  t.false(existsSync(unixSocket));
  const second = used(t, new Database({ data, unixSocket }));
  t.like((await second.start()).store, { records: 3, lastSeq: 3, tail: 'clean', warnings: [] });
  t.is(await balance({ unixSocket }, 1), 3);
  await second.stop();
});

test('balancer, two apis and database in one process: exact round robin, and all of it answers', async (t) => {
  const directory = temporaryDirectory(t);
  const socket = (name: string): string => join(directory, `${name}.sock`);
  const database = used(
    t,
    new Database({ data: join(directory, 'data'), unixSocket: socket('db') }),
  );
  const apis = ['1', '2'].map((n) =>
    used(t, new Api({ name: `api ${n}`, unixSocket: socket(n), db: socket('db') })),
  );
  const balancer = used(
    t,
    new Balancer({
      host: '127.0.0.1',
      port: 0,
      upstreams: [socket('1'), socket('2')],
    }),
  );
  await database.start();
  for (const api of apis) await api.start();
  const { port } = await balancer.start();
  const target = { port: port! };
  for (let i = 0; i < 10; i++) t.is((await credit(target, 4, 1)).status, 200);
  t.is(await balance(target, 4), 10);
  t.is((await statement(target, 6)).status, 404);
  t.deepEqual(
    apis.map((api) => api.stats()!.accepted),
    [6, 6],
  );
  t.is(balancer.stats()!.accepted, 12);
  t.deepEqual(
    balancer.stats()!.upstreams.map(({ connections }) => connections),
    [6, 6],
  );
  await balancer.stop();
  for (const api of apis) await api.stop();
  await database.stop();
});

test('an upstream that is away is warned about once, and its return is said', async (t) => {
  const directory = temporaryDirectory(t);
  const unixSocket = join(directory, 'db.sock');
  const api = used(
    t,
    new Api({ host: '127.0.0.1', port: 0, db: unixSocket, connectTimeout: '100ms' }),
  );
  const told: string[] = [];
  api.on('warning', (message) => told.push(`warning: ${message}`));
  api.on('notice', (message) => told.push(`notice: ${message}`));
  const { port } = await api.start();
  await t.throwsAsync(statement({ port: port! }, 1));
  await t.throwsAsync(statement({ port: port! }, 1));
  await until('it is warned about', () => told.length > 0);
  t.true(told[0]!.startsWith(`warning: ${unixSocket} cannot be reached: `));
  const database = used(t, new Database({ data: join(directory, 'data'), unixSocket }));
  await database.start();
  t.is((await statement({ port: port! }, 1)).status, 200);
  await until('its return is said', () => told.length > 1);
  t.deepEqual(told.slice(1), [`notice: ${unixSocket} can be reached again`]);
  await api.stop();
  await database.stop();
});

test('an impatient stop cuts short a patient one', async (t) => {
  const database = used(
    t,
    new Database({ host: '127.0.0.1', port: 0, data: temporaryDirectory(t) }),
  );
  const { port } = await database.start();
  const client = connect(port!, '127.0.0.1');
  t.teardown(() => client.destroy());
  client.on('error', () => undefined);
  await new Promise((resolve) => client.once('connect', resolve));
  // Half a request: a connection that waits for its rest.
  client.write('POST /clientes/1/transacoes HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{');
  await until('the connection is there', () => database.stats()!.connectionsActive > 0);
  let stopped = false;
  const patient = database.stop({ drain: '10m' }).then(() => (stopped = true));
  await sleep(50);
  t.false(stopped);
  await database.stop({ drain: 0 });
  await patient;
  t.true(stopped);
});

test('a store is given back: the next one opens it at once', async (t) => {
  const data = temporaryDirectory(t);
  for (let i = 0; i < 3; i++) {
    const database = used(t, new Database({ host: '127.0.0.1', port: 0, data }));
    await database.start();
    const other = used(t, new Database({ host: '127.0.0.1', port: 0, data }));
    const error = await t.throwsAsync(other.start(), { instanceOf: EsporaError });
    t.is(error.code, 'ERR_ESPORA_LOCKED');
    t.true(error.message.includes(String(process.pid)));
    await database.stop();
  }
});
