// `espora admin` and a balancer in a process of its own, over the admin socket.
import { statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { request } from 'node:http';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { askAdmin } from '#espora/admin/client.js';
import { runEspora, startEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

interface Shown {
  readonly address: string;
  readonly state: string;
  readonly weight: number;
}

async function running(t: ExecutionContext): Promise<{ socket: string; directory: string }> {
  const directory = temporaryDirectory(t);
  const socket = join(directory, 'admin.sock');
  const balancer = startEspora(t, ['balancer', '--json', '--admin-socket', socket], {
    environment: { PORT: '0', ESPORA_HOST: '127.0.0.1', UPSTREAMS: '/a,127.0.0.1:1 weight=2' },
  });
  await balancer.event('ready');
  return { socket, directory };
}

const admin = (
  t: ExecutionContext,
  socket: string,
  ...args: string[]
): Promise<{ exitCode: number | null; stdout: string; stderr: string }> =>
  runEspora(t, ['admin', ...args, '--admin-socket', socket]);

test.serial('upstreams are shown, changed, added and removed', async (t) => {
  const { socket } = await running(t);
  t.is(statSync(socket).mode & 0o777, 0o600);
  const table = await admin(t, socket, 'upstreams');
  t.is(table.exitCode, 0, table.stderr);
  t.regex(table.stdout, /^UPSTREAM .*STATE .*HEALTH/);
  t.regex(table.stdout, /127\.0\.0\.1:1 +up +fit +2 +0 +0 +0\b/);

  const shown = async (...args: string[]): Promise<Shown[]> => {
    const { stdout, stderr, exitCode } = await admin(t, socket, ...args, '--json');
    t.is(exitCode, 0, stderr);
    return (JSON.parse(stdout) as Shown[]).map(({ address, state, weight }) => ({
      address,
      state,
      weight,
    }));
  };
  t.deepEqual(await shown('set', '/a', '--state', 'draining', '--weight', '7'), [
    { address: '/a', state: 'draining', weight: 7 },
    { address: '127.0.0.1:1', state: 'up', weight: 2 },
  ]);
  t.deepEqual((await shown('add', '/b%20 c', '--weight', '3'))[2], {
    address: '/b%20 c',
    state: 'up',
    weight: 3,
  });
  await shown('remove', '/b%20 c');
  t.deepEqual(
    (await shown('remove', '/a')).map(({ address }) => address),
    ['127.0.0.1:1'],
  );
  const stats = await admin(t, socket, 'stats');
  t.like(JSON.parse(stats.stdout), { accepted: 0, active: 0 });
});

test.serial('what cannot be right is one sentence and an exit code', async (t) => {
  const { socket, directory } = await running(t);
  const refusals: readonly (readonly [string[], number, RegExp])[] = [
    [['set', '/nobody', '--state', 'up'], 1, /there is no upstream \/nobody/],
    [['set', '/a'], 2, /nothing to change: give a state or a weight/],
    [['set', '/a', '--state', 'gone'], 2, /state is "gone": it must be up, draining or down/],
    [['set', '/a', '--weight', '0'], 2, /weight is 0: it must be a whole number/],
    [['add', 'nowhere'], 2, /the upstream is "nowhere": it must be host:port/],
    [['add', '/b', '--weight', 'much'], 2, /weight must be a number/],
  ];
  for (const [args, exitCode, sentence] of refusals) {
    const ended = await admin(t, socket, ...args);
    t.is(ended.exitCode, exitCode, args.join(' '));
    t.regex(ended.stderr, sentence);
    t.is(ended.stderr.trimEnd().split('\n').length, 1);
  }
  const nobody = await admin(t, join(directory, 'nobody.sock'), 'upstreams');
  t.is(nobody.exitCode, 1);
  t.regex(nobody.stderr, /cannot be reached: nothing listens there/);
  const long = `/${'x'.repeat(200)}`;
  const refused = await admin(t, long, 'upstreams');
  t.is(refused.exitCode, 2);
  t.regex(refused.stderr, /--admin-socket is \/x+: a unix socket's path has at most \d+ bytes/);
  const missing = await runEspora(t, ['admin', 'upstreams']);
  t.is(missing.exitCode, 2);
  t.regex(missing.stderr, /give --admin-socket or ESPORA_ADMIN_SOCKET/);
});

test.serial('a socket that somebody uses is left alone, and a file too', async (t) => {
  const { socket, directory } = await running(t);
  const args = ['balancer', '--upstreams', '/a', '--port', '0', '--host', '127.0.0.1'];
  const second = await runEspora(t, [...args, '--admin-socket', socket]);
  t.is(second.exitCode, 1);
  t.regex(second.stderr, /another process listens there/);
  const file = join(directory, 'file');
  writeFileSync(file, 'mine');
  const third = await runEspora(t, [...args, '--admin-socket', file]);
  t.is(third.exitCode, 1);
  t.regex(third.stderr, /something that is no socket is there/);
  t.is((await admin(t, socket, 'upstreams')).exitCode, 0);
});

test.serial('requests that make no sense are answered, and harm nothing', async (t) => {
  const { socket } = await running(t);
  const status = (method: string, path: string, body = ''): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      request({ socketPath: socket, method, path, agent: false }, (response) => {
        response.resume().once('end', () => {
          resolve(response.statusCode);
        });
      })
        .once('error', reject)
        .end(body);
    });
  t.is(await status('GET', '/nothing'), 404);
  t.is(await status('DELETE', '/upstreams'), 404);
  t.is(await status('PATCH', '/upstreams/%zz'), 400);
  t.is(await status('PATCH', '/upstreams/a', 'not json'), 400);
  t.is(await status('PATCH', '/upstreams/a', '[]'), 400);
  t.is(await status('POST', '/upstreams', '{"address":1}'), 400);
  t.is(await status('POST', '/upstreams', '{"address":"/b","x":1}'), 400);
  t.is(await status('GET', '/upstreams'), 200);
});

test('a balancer that says nothing is waited for, but not for ever', async (t) => {
  const socket = join(temporaryDirectory(t), 'admin.sock');
  const stopped = createServer(() => undefined);
  await new Promise<void>((resolve) => stopped.listen(socket, resolve));
  t.teardown(() => stopped.close());
  await t.throwsAsync(askAdmin(socket, 'GET', '/upstreams', undefined, 20), {
    code: 'ERR_ESPORA_UNAVAILABLE',
    message: /did not answer within 0\.02 s: look at its process/,
  });
  await t.throwsAsync(askAdmin(socket, 'DELETE', '/upstreams', {}, 20), {
    code: 'ERR_ESPORA_INDETERMINATE',
    message: /may or may not be done/,
  });
});
