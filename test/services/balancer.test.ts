// The balancer in front of services of a test: options in groups, changes while it runs, events.
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Balancer, EsporaError } from '#espora/index.js';
import type { BalancerOptions, UpstreamChange } from '#espora/index.js';
import { until } from '#espora/lab/until.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

/** A service that answers each connection with its name and ends it; `hold`: keeps it open. */
async function serve(
  t: ExecutionContext,
  path: string,
  name: string,
  hold = false,
): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (hold) socket.write(name);
    else socket.end(name);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
  return server;
}

/** What comes back on one connection. */
function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    connect(port, '127.0.0.1')
      .setEncoding('utf8')
      .on('data', (piece: string) => (text += piece))
      .on('error', () => undefined)
      .on('close', () => {
        resolve(text);
      });
  });
}

async function askTimes(port: number, times: number): Promise<string> {
  let all = '';
  for (let i = 0; i < times; i++) all += await ask(port);
  return all;
}

async function started(
  t: ExecutionContext,
  options: BalancerOptions,
): Promise<{ balancer: Balancer; port: number; changes: UpstreamChange[] }> {
  const balancer = new Balancer({ listen: { host: '127.0.0.1', port: 0 }, ...options });
  const changes: UpstreamChange[] = [];
  balancer.on('upstream', (change) => changes.push(change));
  t.teardown(() => balancer.stop({ drain: 0 }));
  const { port } = await balancer.start();
  return { balancer, port: port!, changes };
}

const code = async (promise: Promise<unknown>): Promise<string | undefined> => {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof EsporaError ? error.code : String(error);
};

test('options in groups are those of the table', (t) => {
  const { options } = new Balancer({
    upstreams: [{ address: '/a', weight: 2 }, '/b'],
    balance: 'least-connections',
    listen: { port: 1, host: '::1' },
    health: { check: 'http', path: '/up', status: 204, interval: '2s', ejectAfter: 3 },
    limits: { connections: 5, upstreamConnections: 2 },
    timeouts: { session: '1m' },
    proxyProtocol: { from: '10.0.0.0/8,unix', send: 'v2' },
  });
  t.true(Object.isFrozen(options));
  t.like(options, {
    upstreams: ['/a weight=2', '/b'],
    port: 1,
    host: '::1',
    healthCheck: 'http',
    healthPath: '/up',
    healthStatus: { min: 204, max: 204 },
    healthInterval: 2000,
    ejectAfter: 3,
    connectionsMax: 5,
    upstreamConnectionsMax: 2,
    sessionTimeout: 60_000,
    proxyProtocolFrom: ['10.0.0.0/8', 'unix'],
    proxyProtocolSend: 'v2',
  });
});

test('groups that cannot be right are refused with one sentence', (t) => {
  const upstreams = '/a';
  const refusals: readonly (readonly [object, RegExp])[] = [
    [{ health: { chek: 'http' } }, /unknown option health\.chek of balancer.*did you mean check/],
    [{ health: 'http' }, /health of balancer must be an object with check, interval/],
    [{ health: [] }, /health of balancer must be an object/],
    [{ port: 1, listen: { port: 2 } }, /the option port of balancer is given twice/],
    [
      { health: { check: 'ping' } },
      /healthCheck in the options is "ping": it must be off, connect/,
    ],
    [{ limits: { connections: 0 } }, /connectionsMax in the options is 0/],
    [{ toString: 1 }, /unknown option toString/],
    [{ listen: { toString: 1 } }, /unknown option listen\.toString/],
    [{ proxyProtocol: { from: '10.1.2.3/8' } }, /has bits behind its prefix/],
    [{ upstreams: '/a weight=0' }, /a weight must be a whole number from 1 to 1000/],
  ];
  for (const [options, sentence] of refusals) {
    const error = t.throws(() => new Balancer({ upstreams, ...options }), {
      instanceOf: EsporaError,
    });
    t.is(error.code, 'ERR_ESPORA_INVALID');
    t.regex(error.message, sentence);
    t.notRegex(error.message, /\n|\.$/);
  }
});

test('upstreams are changed, added and removed while it runs', async (t) => {
  const directory = temporaryDirectory(t);
  const [a, b, c] = ['a', 'b', 'c'].map((name) => join(directory, name));
  for (const path of [a!, b!, c!]) await serve(t, path, path.slice(-1));
  const { balancer, port, changes } = await started(t, { upstreams: [a!, b!] });
  t.is(await askTimes(port, 4), 'abab');

  await balancer.setUpstream(a!, { state: 'draining' });
  t.is(await askTimes(port, 2), 'bb');
  await balancer.setUpstream(a!, { state: 'up', weight: 3 });
  t.is([...(await askTimes(port, 8))].sort().join(''), 'aaaaaabb');
  await balancer.addUpstream({ address: c!, weight: 4 });
  t.is([...(await askTimes(port, 8))].sort().join(''), 'aaabcccc');
  await balancer.removeUpstream(c!);
  await balancer.removeUpstream(a!);
  t.is(await askTimes(port, 2), 'bb');
  t.deepEqual(
    balancer
      .stats()!
      .upstreams.map(({ address, state, health, up }) => [address, state, health, up]),
    [[b, 'up', 'fit', true]],
  );
  t.deepEqual(
    changes.map(({ address, state }) => [address, state]),
    [
      [a, 'draining'],
      [a, 'up'],
    ],
  );
  // A client sees its end before the balancer has counted it.
  await until('all sessions are counted', () => balancer.stats()!.session.count === 24);
  t.is(await code(balancer.setUpstream('/nobody', { state: 'up' })), 'ERR_ESPORA_NOT_FOUND');
  t.is(await code(balancer.removeUpstream('/nobody')), 'ERR_ESPORA_NOT_FOUND');
  for (const update of [{}, { state: 'gone' }, { weight: 0 }, { weight: 1.5 }, { wieght: 1 }]) {
    t.is(await code(balancer.setUpstream(b!, update as object)), 'ERR_ESPORA_INVALID');
  }
  t.is(await code(balancer.addUpstream('nowhere')), 'ERR_ESPORA_INVALID');
  await balancer.stop();
  t.is(await code(balancer.addUpstream(a!)), 'ERR_ESPORA_CLOSED');
});

test('an upstream that fails is ejected, told of, and taken back', async (t) => {
  const directory = temporaryDirectory(t);
  const [a, b] = ['a', 'b'].map((name) => join(directory, name));
  await serve(t, b!, 'b');
  const { balancer, port, changes } = await started(t, {
    upstreams: [a!, b!],
    health: { ejectAfter: 2, ejectTime: '1m', ejectTimeMax: '1m' },
  });
  const said: string[] = [];
  balancer.on('warning', (message) => said.push(message));
  t.is(await askTimes(port, 10), 'b'.repeat(10));
  await until('it is told', () => changes.some(({ health }) => health === 'ejected'));
  t.true(said.some((message) => message.includes(`${a!} is ejected: connects fail`)));
  t.like(balancer.stats()!.upstreams[0], { health: 'ejected', up: false, connectFailures: 2 });
  await serve(t, a!, 'a');
  await until('it is used again', async () => (await ask(port)) === 'a');
  t.deepEqual(
    changes.slice(0, 2).map(({ address, health }) => [address, health]),
    [
      [a, 'ejected'],
      [a, 'probation'],
    ],
  );
});

test('a drain lets open connections end', async (t) => {
  const path = join(temporaryDirectory(t), 'a');
  await serve(t, path, 'held', true);
  const { balancer, port } = await started(t, { upstreams: path });
  const socket = connect(port, '127.0.0.1');
  await new Promise((resolve) => socket.once('data', resolve));
  const drained = balancer.drain({ drain: '10m' });
  const refused = await new Promise((resolve) => {
    const retry = (): void => {
      connect(port, '127.0.0.1')
        // What came between the last accept and the close is reset.
        .once('error', (error: NodeJS.ErrnoException) => {
          if (error.code === 'ECONNRESET') retry();
          else resolve(error);
        })
        .once('connect', function (this: { destroy(): void }) {
          this.destroy();
          retry();
        });
    };
    retry();
  });
  t.like(refused, { code: 'ECONNREFUSED' });
  socket.destroy();
  await drained;
  t.is(balancer.stats(), undefined);
});
