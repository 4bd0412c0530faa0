import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Connection } from '#espora/lab/connection.js';
import type { Exchange, Target } from '#espora/lab/connection.js';
import { until } from '#espora/lab/until.js';

const request = Buffer.from('GET /clientes/1/extrato HTTP/1.1\r\nHost: x\r\n\r\n');
const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}';

interface Listening {
  readonly target: { readonly host: string; readonly port: number };
  readonly server: Server;
  /** Sockets accepted so far. */
  readonly accepted: readonly Socket[];
}

/** A server that hands each piece of bytes it reads to `onData`. */
async function listen(
  t: ExecutionContext,
  onData: (socket: Socket, bytes: string) => void,
): Promise<Listening> {
  const accepted: Socket[] = [];
  const server = createServer((socket) => {
    accepted.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      onData(socket, bytes.toString());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    for (const socket of accepted) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return { target: { host: '127.0.0.1', port }, server, accepted };
}

function connect(t: ExecutionContext, target: Target, timeoutMs = 30_000): Connection {
  const connection = new Connection(target, timeoutMs);
  t.teardown(() => {
    connection.close();
  });
  return connection;
}

function exchange(connection: Connection): Promise<Exchange> {
  return new Promise((resolve) => {
    connection.request(request, resolve);
  });
}

test('asks, is answered, and knows when', async (t) => {
  const { target } = await listen(t, (socket) => socket.write(answer));
  const before = performance.now();
  const { status, body, problem, startedAt, connectedAt, endedAt } = await exchange(
    connect(t, target),
  );
  t.like({ status, body, problem }, { status: 200, body: '{}', problem: undefined });
  t.true(before <= startedAt && startedAt <= connectedAt && connectedAt <= endedAt);
});

test('sends the request as it is, once, on one connection per user', async (t) => {
  const heard: string[] = [];
  const { target, accepted } = await listen(t, (socket, bytes) => {
    heard.push(bytes);
    socket.write(answer);
  });
  const [first, second] = [connect(t, target), connect(t, target)];
  await Promise.all([exchange(first), exchange(second)]);
  await exchange(first);
  t.deepEqual(heard, new Array<string>(3).fill(request.toString()));
  t.is(accepted.length, 2);
});

test('a kept connection is used again, and was connected from the start', async (t) => {
  const { target } = await listen(t, (socket) => socket.write(answer));
  const connection = connect(t, target);
  t.false(connection.reusable);
  await exchange(connection);
  t.true(connection.reusable);
  const { status, startedAt, connectedAt } = await exchange(connection);
  t.is(status, 200);
  t.is(connectedAt, startedAt);
});

test('an answer in single bytes is one answer', async (t) => {
  const { target } = await listen(t, (socket) => {
    socket.setNoDelay();
    void (async () => {
      for (const byte of answer) {
        socket.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
  });
  t.like(await exchange(connect(t, target)), { status: 200, body: '{}' });
});

test('a large answer is read whole', async (t) => {
  const body = JSON.stringify('x'.repeat(1_000_000));
  const { target } = await listen(t, (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
  t.is((await exchange(connect(t, target))).body, body);
});

test('two users whose answers come in turn, piece by piece, each get their own', async (t) => {
  const sockets: Socket[] = [];
  const { target } = await listen(t, (socket) => {
    if (sockets.push(socket) < 2) return;
    const answers = [1, 2].map((n) => `HTTP/1.1 20${n} OK\r\nContent-Length: 3\r\n\r\n"${n}"`);
    void (async () => {
      for (let at = 0; at < answers[0]!.length; at++) {
        for (const [index, text] of answers.entries()) sockets[index]!.write(text[at]!);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
  });
  const exchanges = await Promise.all([exchange(connect(t, target)), exchange(connect(t, target))]);
  t.deepEqual(exchanges.map(({ status, body }) => `${status} ${body}`).sort(), [
    '201 "1"',
    '202 "2"',
  ]);
});

test('a server that says it closes is not asked again', async (t) => {
  const { target } = await listen(t, (socket) => {
    socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}');
  });
  const connection = connect(t, target);
  t.is((await exchange(connection)).status, 200);
  t.false(connection.reusable);
});

test('a server that closes in silence is not asked again', async (t) => {
  const { target } = await listen(t, (socket) => socket.end(answer));
  const connection = connect(t, target);
  t.is((await exchange(connection)).status, 200);
  await until('the end is noticed', () => !connection.reusable);
  t.is((await exchange(connection)).problem?.code, 'closed');
});

test('bytes between two answers belong to none, and the next one hears of it', async (t) => {
  const { target, accepted } = await listen(t, (socket) => socket.write(answer));
  const connection = connect(t, target);
  await exchange(connection);
  accepted[0]!.write('HTTP/1.1 200 OK\r\n');
  await until('the end is noticed', () => !connection.reusable);
  const { problem } = await exchange(connection);
  t.deepEqual(problem, { code: 'excess', message: '17 bytes came that belong to no answer' });
});

test('nobody listens', async (t) => {
  const { target, server } = await listen(t, () => undefined);
  await new Promise((resolve) => server.close(resolve));
  const { problem, status, connectedAt } = await exchange(connect(t, target));
  t.deepEqual(problem, { code: 'refused', message: 'the connection was refused' });
  t.is(status, 0);
  t.true(Number.isNaN(connectedAt));
});

for (const [what, misbehave, code, message] of [
  ['closes before an answer', (s: Socket) => s.end(), 'closed', /ended before an answer/],
  ['closes in the head', (s: Socket) => s.end(answer.slice(0, 9)), 'closed', /9 bytes of the head/],
  ['closes in the body', (s: Socket) => s.end(answer.slice(0, -1)), 'closed', /1 of 2 bytes/],
  ['resets', (s: Socket) => s.resetAndDestroy(), 'reset', /reset before an answer/],
  ['answers nonsense', (s: Socket) => s.write('\0\r\n\r\n'), 'malformed', /starts with "\\u0000"/],
  ['answers too much', (s: Socket) => s.write(`${answer}}`), 'excess', /1 bytes follow/],
] as const) {
  test(`a server that ${what}`, async (t) => {
    const { target } = await listen(t, (socket) => void misbehave(socket));
    const connection = connect(t, target);
    const { problem, status } = await exchange(connection);
    t.is(problem?.code, code);
    t.regex(problem?.message ?? '', message);
    t.is(status, 0);
    t.false(code !== 'excess' && connection.reusable);
  });
}

test('a body without length ends with the connection', async (t) => {
  const { target } = await listen(t, (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n{"a":1}'));
  t.like(await exchange(connect(t, target)), { status: 200, body: '{"a":1}', problem: undefined });
});

test('no answer in time: the connection is closed, and the reason says how far it came', async (t) => {
  const { target, accepted } = await listen(t, (socket) => socket.write(answer.slice(0, -1)));
  const { problem } = await exchange(connect(t, target, 1500));
  t.deepEqual(problem, {
    code: 'timeout',
    message: 'no complete answer within 1.5 s (after 1 of 2 bytes of the body)',
  });
  await new Promise((resolve) => accepted[0]!.once('close', resolve));
});

test('an answer that came while this thread was held up is no timeout', async (t) => {
  const { target } = await listen(t, (socket) => {
    socket.write(answer);
    // The bytes are in the kernel when this thread stands still past the deadline.
    setImmediate(() => {
      const until = performance.now() + 2000;
      while (performance.now() < until);
    });
  });
  const { problem, status } = await exchange(connect(t, target, 1500));
  t.is(problem, undefined);
  t.is(status, 200);
});

test('closing with a request under way says that the player stopped, once', async (t) => {
  const { target } = await listen(t, () => undefined);
  const connection = connect(t, target);
  const ended: Exchange[] = [];
  connection.request(request, (end) => ended.push(end));
  connection.close();
  connection.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.deepEqual(
    ended.map(({ problem }) => problem?.code),
    ['abandoned'],
  );
});

test('two requests at once on one connection are our bug', async (t) => {
  const { target } = await listen(t, () => undefined);
  const connection = connect(t, target);
  connection.request(request, () => undefined);
  t.throws(() => {
    connection.request(request, () => undefined);
  });
});

test('a unix socket will do as well', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'espora-contest-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const path = join(directory, 'socket');
  const server = createServer((socket) => {
    socket.on('data', () => socket.end(answer)).on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => void server.close());
  t.is((await exchange(connect(t, { path }))).status, 200);
  t.is((await exchange(connect(t, { path: `${path}.none` }))).problem?.code, 'refused');
});
