// A name stands for all its addresses, of which some may not be there: on servers that refuse an address as
// the kernel does where it has none of that kind.
import { createServer, type Server } from 'node:http';
import type { ListenOptions } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { listenOnAll } from '#espora/metrics/listen.js';

/** Servers of which those in `refused` (the first is 0) fail with a code; the others listen on 127.0.0.1. */
function servers(t: ExecutionContext, refused: Readonly<Record<number, string>>) {
  const asked: { host: string; port: number }[] = [];
  const made: Server[] = [];
  const create = (): Server => {
    const server = createServer();
    const code = refused[made.length];
    const listen = server.listen.bind(server);
    server.listen = ((options: ListenOptions, done: () => void) => {
      asked.push({ host: options.host!, port: options.port! });
      if (code === undefined) return listen({ port: 0, host: '127.0.0.1' }, done);
      setImmediate(() => server.emit('error', Object.assign(new Error('refused'), { code })));
      return server;
    }) as Server['listen'];
    made.push(server);
    t.teardown(() => {
      server.close();
    });
    return server;
  };
  return { asked, made, create };
}

test('an address that is not here is passed over, wherever it stands', async (t) => {
  for (const code of ['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EPROTONOSUPPORT']) {
    for (const absent of [0, 1]) {
      const { asked, made, create } = servers(t, { [absent]: code });
      const listening = await listenOnAll(create, 'localhost', 0);
      t.deepEqual(
        asked.map(({ host }) => host),
        ['127.0.0.1', '::1'],
      );
      t.deepEqual(listening.servers, [made[1 - absent]!]);
      t.is(listening.port, (made[1 - absent]!.address() as { port: number }).port);
    }
  }
});

test('without any of them it fails as the first one did, and nothing listens', async (t) => {
  const { made, create } = servers(t, { 0: 'EADDRNOTAVAIL', 1: 'EAFNOSUPPORT' });
  await t.throwsAsync(listenOnAll(create, 'localhost', 0), { code: 'EADDRNOTAVAIL' });
  t.false(made.some((server) => server.listening));
});

test('a port of its own choice that is taken on another address is chosen anew', async (t) => {
  const { asked, made, create } = servers(t, { 1: 'EADDRINUSE' });
  const listening = await listenOnAll(create, 'localhost', 0);
  t.deepEqual(listening.servers, made.slice(2));
  t.deepEqual(
    asked.map(({ port }) => port === 0),
    [true, false, true, false],
  );
  t.false(made[0]!.listening);
});

test('any other failure, and a given port that is taken, is one', async (t) => {
  for (const [code, port] of [
    ['EACCES', 0],
    ['EADDRINUSE', 1],
  ] as const) {
    const { made, create } = servers(t, { 1: code });
    await t.throwsAsync(listenOnAll(create, 'localhost', port), { code });
    t.is(made.length, 2);
    t.false(made.some((server) => server.listening));
  }
});
