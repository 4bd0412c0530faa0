// Both ends of an admin socket in one process, in front of a real balancer: where the socket may be made,
// what each request is answered with, and what its user is told.
import fs, { existsSync, linkSync, lstatSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, request } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { askAdmin } from '#espora/admin/client.js';
import { serveAdmin } from '#espora/admin/server.js';
import { Balancer } from '#espora/index.js';
import type { BalancerStats, EsporaError } from '#espora/index.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

async function listening(t: ExecutionContext, server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
}

async function started(t: ExecutionContext): Promise<Balancer> {
  const balancer = new Balancer({ listen: { host: '127.0.0.1', port: 0 }, upstreams: ['/a'] });
  t.teardown(() => balancer.stop({ drain: 0 }));
  await balancer.start();
  return balancer;
}

async function served(t: ExecutionContext): Promise<{ path: string; balancer: Balancer }> {
  const balancer = await started(t);
  const path = join(temporaryDirectory(t), 'admin.sock');
  const server = await serveAdmin(path, balancer);
  t.teardown(() => {
    server.close();
  });
  return { path, balancer };
}

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly length: string | undefined;
  readonly text: string;
}

function ask(socketPath: string, method: string, path: string, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request({ socketPath, method, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      response.once('end', () => {
        resolve({
          status: response.statusCode!,
          type: response.headers['content-type'],
          length: response.headers['content-length'],
          text,
        });
      });
    })
      .once('error', reject)
      .end(body);
  });
}

test('a socket that its process left behind is replaced, whatever else is there stays', async (t) => {
  const balancer = await started(t);
  const directory = temporaryDirectory(t);
  const dead = join(directory, 'dead');
  const first = createServer();
  await new Promise<void>((resolve) => first.listen(join(directory, 'first'), resolve));
  linkSync(join(directory, 'first'), dead);
  await new Promise((resolve) => first.close(resolve));
  t.true(lstatSync(dead).isSocket());

  const umask = process.umask();
  const server = await serveAdmin(dead, balancer);
  t.teardown(() => {
    server.close();
  });
  t.is(process.umask(), umask, 'what the process makes later has its usual permissions');
  t.is(lstatSync(dead).mode & 0o777, 0o600);
  t.is((await ask(dead, 'GET', '/upstreams')).status, 200);

  const taken = join(directory, 'taken');
  await listening(t, createServer(), taken);
  const file = join(directory, 'file');
  writeFileSync(file, 'mine');
  mkdirSync(join(directory, 'folder'));
  for (const [path, code, message, remedy] of [
    [taken, 'ERR_ESPORA_ADDRESS_IN_USE', /another process listens there/, /--admin-socket/],
    [file, 'ERR_ESPORA_EXISTS', /something that is no socket is there/, undefined],
    [join(directory, 'folder'), 'ERR_ESPORA_EXISTS', /no socket is there/, undefined],
    [
      join(directory, 'nowhere/a'),
      'ERR_ESPORA_NOT_FOUND',
      /its directory does not exist/,
      undefined,
    ],
  ] as const) {
    const error = await t.throwsAsync<EsporaError>(serveAdmin(path, balancer), { code, message });
    t.true(error.message.startsWith(`the admin socket ${path} cannot be served: `), error.message);
    if (remedy === undefined) t.is(error.remedy, undefined);
    else t.regex(error.remedy!, remedy);
  }
  t.true(lstatSync(taken).isSocket());
  t.true(lstatSync(file).isFile());
});

test('no moment finds the socket with other permissions', async (t) => {
  const balancer = await started(t);
  const path = join(temporaryDirectory(t), 'admin.sock');
  const found: number[] = [];
  const { chmodSync } = fs;
  fs.chmodSync = (name, mode) => {
    if (name === path) found.push(lstatSync(path).mode & 0o777);
    chmodSync(name, mode);
  };
  syncBuiltinESMExports();
  t.teardown(() => {
    fs.chmodSync = chmodSync;
    syncBuiltinESMExports();
  });
  const server = await serveAdmin(path, balancer);
  t.teardown(() => {
    server.close();
  });
  t.deepEqual(found, [0o600]);
});

test('each request has its answer, in JSON', async (t) => {
  const { path, balancer } = await served(t);
  const shown = (): readonly string[] => balancer.stats()!.upstreams.map((each) => each.address);
  const most = 64 * 1024;
  const padded = (bytes: number): string => '{"address":"/c"}'.padEnd(bytes, ' ');
  for (const [method, resource, body, status, text] of [
    ['GET', '/upstreams', '', 200, /^\[\{"address":"\/a",/],
    ['GET', '/upstreams?whatever', '', 200, /^\[/],
    ['GET', '/stats', '', 200, /^\{.*"accepted":0/],
    ['POST', '/upstreams', '{"address":"/b","weight":4}', 201, /^\{\}$/],
    ['PATCH', '/upstreams/%2Fb', '{"weight":5}', 200, /^\{\}$/],
    ['PATCH', '/upstreams/%2Fb', '{}', 400, /"ERR_ESPORA_INVALID".*nothing to change/],
    ['PATCH', '/upstreams/%2Fnone', '{"weight":5}', 404, /"ERR_ESPORA_NOT_FOUND"/],
    ['PATCH', '/upstreams/%zz', '{"weight":5}', 400, /not percent-encoded/],
    ['DELETE', '/upstreams/%2Fb', '', 200, /^\{\}$/],
    ['DELETE', '/upstreams/%2Fb', '', 404, /"ERR_ESPORA_NOT_FOUND"/],
    ['POST', '/upstreams', padded(most), 201, /^\{\}$/],
    ['POST', '/upstreams', padded(most + 1), 413, /"ERR_ESPORA_TOO_LARGE".*at most 65536/],
    ['POST', '/upstreams', '{"address":"/a"}', 409, /"ERR_ESPORA_EXISTS".*an upstream already/],
    ['POST', '/upstreams', '{', 400, /the body is not JSON/],
    ...['[]', 'null', '1', '"/b"'].map(
      (each) => ['POST', '/upstreams', each, 400, /the body must be a JSON object/] as const,
    ),
    ['POST', '/upstreams', '{"address":1}', 400, /address must be text/],
    ['POST', '/upstreams', '{"address":"/d","weight":"2"}', 400, /weight must be a number/],
    ['POST', '/upstreams', '{"address":"/d","x":2}', 400, /an upstream has no x: give address/],
    ['DELETE', '/upstreams', '', 404, /there is no DELETE \/upstreams"/],
    ['GET', '/upstreams/%2Fa', '', 404, /there is no GET \/upstreams\//],
    ['GET', '/', '', 404, /there is no GET \/"/],
  ] as const) {
    const what = `${method} ${resource} ${body.slice(0, 40)}`;
    const answer = await ask(path, method, resource, body);
    t.is(answer.status, status, `${what}: ${answer.text}`);
    t.regex(answer.text.trimEnd(), text, what);
    t.is(answer.text.at(-1), '\n');
    t.is(answer.type, 'application/json');
    t.is(answer.length, String(Buffer.byteLength(answer.text)));
    t.notThrows(() => JSON.parse(answer.text) as unknown);
  }
  t.deepEqual(shown(), ['/a', '/c']);
});

test('one upstream too many is a conflict with those that are there', async (t) => {
  const { path, balancer } = await served(t);
  for (let i = 0; i < 255; i++) await balancer.addUpstream(`/u${String(i)}`);
  const { status, text } = await ask(path, 'POST', '/upstreams', '{"address":"/one-more"}');
  t.is(status, 409);
  t.regex(text, /"ERR_ESPORA_OVERLOADED".*at most 256 upstreams are possible/);
  t.is(balancer.stats()!.upstreams.length, 256);
});

test('a balancer that has ended says so', async (t) => {
  const { path, balancer } = await served(t);
  await balancer.stop({ drain: 0 });
  const answer = await ask(path, 'POST', '/upstreams', '{"address":"/b"}');
  t.is(answer.status, 503);
  t.regex(answer.text, /"ERR_ESPORA_CLOSED"/);
});

test('closed, it takes nobody any more', async (t) => {
  const path = join(temporaryDirectory(t), 'admin.sock');
  const server = await serveAdmin(path, await started(t));
  server.close();
  t.false(existsSync(path));
  await t.throwsAsync(askAdmin(path, 'GET', '/stats'), {
    code: 'ERR_ESPORA_UNAVAILABLE',
    message: `the admin socket ${path} cannot be reached: nothing listens there`,
  });
});

test('the other end gives back what was answered, or the error that was', async (t) => {
  const { path } = await served(t);
  const stats = (await askAdmin(path, 'GET', '/stats')) as BalancerStats;
  t.deepEqual(
    stats.upstreams.map(({ address }) => address),
    ['/a'],
  );
  t.deepEqual(await askAdmin(path, 'POST', '/upstreams', { address: '/b' }), {});
  await t.throwsAsync(askAdmin(path, 'DELETE', `/upstreams/${encodeURIComponent('/x')}`), {
    code: 'ERR_ESPORA_NOT_FOUND',
    message: /there is no upstream \/x/,
  });
});

test('what is no admin socket is not taken for one', async (t) => {
  const directory = temporaryDirectory(t);
  let status = 200;
  let text = 'hello';
  const path = join(directory, 'other');
  await listening(
    t,
    createHttpServer((_request, response) => {
      response.writeHead(status).end(text);
    }),
    path,
  );
  await t.throwsAsync(askAdmin(path, 'GET', '/stats'), {
    code: 'ERR_ESPORA_UNAVAILABLE',
    message: `what answers on ${path} is no admin socket`,
  });
  status = 400;
  text = '{"code":"ERR_OTHER","message":"no"}';
  await t.throwsAsync(askAdmin(path, 'GET', '/stats'), {
    code: 'ERR_ESPORA_FAILED',
    message: 'no',
  });
});

test('a balancer that ends before it has answered leaves a change open, and says no more than it knows', async (t) => {
  const directory = temporaryDirectory(t);
  for (const [name, said] of [
    ['nothing', ''],
    ['half', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"a"'],
  ] as const) {
    const path = join(directory, name);
    const server = createServer((socket) => {
      socket.once('data', () => {
        if (said === '') socket.destroy();
        else socket.end(said);
      });
    });
    await listening(t, server, path);
    await t.throwsAsync(askAdmin(path, 'GET', '/stats'), {
      code: 'ERR_ESPORA_UNAVAILABLE',
      message: /ended the connection before it had answered \(.+\): look at its process$/,
    });
    await t.throwsAsync(askAdmin(path, 'POST', '/upstreams', { address: '/b' }), {
      code: 'ERR_ESPORA_INDETERMINATE',
      message: /before it had answered .* may or may not be done: look at its process$/,
    });
  }
});
