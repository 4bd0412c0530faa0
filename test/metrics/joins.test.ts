// Every metric against what was done: known work is done by services and clients, and each row of the
// exposition has a line here that says what has to be in it then, or which native test looks at it.
import { readFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Api, Balancer, Database } from '#espora/index.js';
import type { BalancerOptions } from '#espora/index.js';
import { until } from '#espora/lab/until.js';
import { metricsText } from '#espora/metrics/exposition.js';
import type { Measured, ServiceStats } from '#espora/metrics/measured.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

// ---- what there is ------------------------------------------------------------------------------

/** Sample by name and labels, without `espora_` and without the service's label. */
type Samples = ReadonlyMap<string, number>;

async function samplesOf(kind: Measured['kind'], service: ServiceStats): Promise<Samples> {
  const process = { restarts: 0, up: true, residentBytes: 0, cpuSeconds: 0 };
  const one: Measured = { name: 'x', kind, service, ...process };
  const text = await metricsText([one]);
  const found = new Map<string, number>();
  for (const [, name, labels, value] of text.matchAll(
    /^espora_(\w+)\{service="x"(?:,upstream="[^"]*")?((?:,quantile="[^"]*")?)\} (\S+)$/gm,
  )) {
    found.set(`${name!}${labels!}`, Number(value));
  }
  return found;
}

/** What was compared in all tests of this file: the names of metrics. */
const compared = new Set<string>();

/** What a scenario expects: a number, or bounds, both included. */
type Expected = number | readonly [least: number, most: number];

function compare(
  t: ExecutionContext,
  samples: Samples,
  expected: Readonly<Record<string, Expected>>,
): void {
  for (const [name, value] of Object.entries(expected)) {
    compared.add(name.replace(/,quantile=.*/, ''));
    const actual = samples.get(name);
    const [least, most] = typeof value === 'number' ? [value, value] : value;
    t.true(
      actual !== undefined && actual >= least && actual <= most,
      `${name} is ${String(actual)}, and ${String(value)} was done`,
    );
  }
}

/** Metrics that hardly anything but a native test can make move, with the test and its counter. */
const native: Readonly<Record<string, readonly [file: string, counter: string]>> = {
  parked_total: ['ledger/teller_test.cc', 'parked'],
  store_full_total: ['face/face_test.cc', 'store_full'],
  answers_5xx_total: ['http/server_gate_test.cc', 'answers_5xx'],
  segments_rewritten_total: ['store/housekeeping_test.cc', 'segments_rewritten'],
  rewrite_saved_bytes_total: ['store/housekeeping_test.cc', 'saved_bytes'],
  rewrite_failures_total: ['store/housekeeping_test.cc', 'rewrite_failures'],
  segments_damaged_total: ['store/housekeeping_test.cc', 'segments_damaged'],
  snapshots_total: ['store/housekeeping_test.cc', 'snapshots'],
  snapshot_failures_total: ['store/housekeeping_test.cc', 'snapshot_failures'],
  received_refused_total: ['intake/handoff_receiver_test.cc', 'refused'],
  received_truncated_total: ['intake/handoff_receiver_test.cc', 'truncated'],
  received_strays_total: ['intake/handoff_receiver_test.cc', 'strays'],
  received_unacknowledged_total: ['intake/handoff_receiver_test.cc', 'unacknowledged'],
  channels_denied_total: ['intake/handoff_receiver_test.cc', 'denied'],
  backlog_waits_total: ['forward/forwarder_test.cc', 'backlog_waits'],
  local_errors_total: ['forward/forwarder_test.cc', 'local_errors'],
  ended_connect_timeout_total: ['forward/forwarder_test.cc', 'ended_connect_timeout'],
  ended_by_stop_total: ['forward/forwarder_test.cc', 'ended_by_stop'],
  ended_local_error_total: ['forward/forwarder_test.cc', 'ended_local_error'],
  pass_unacknowledged: ['forward/handoff_test.cc', 'pass_unacknowledged'],
  pass_refused_total: ['forward/handoff_test.cc', 'pass_refused'],
  pass_returned_total: ['forward/handoff_test.cc', 'pass_returned'],
  pass_full_total: ['forward/handoff_test.cc', 'pass_full'],
  pass_unreported_total: ['forward/handoff_test.cc', 'pass_unreported'],
  channels_lost_total: ['forward/handoff_test.cc', 'channels_lost'],
  channels_cut_total: ['forward/handoff_test.cc', 'channels_cut'],
};

/** What no test can make a kernel do: only the names are compared, at the end of this file. */
const unprovoked = new Set([
  'accept_errors_total', // Linux accepts a connection that is gone; ECONNABORTED comes from a filter
  'pass_shortages_total', // ETOOMANYREFS: so many descriptors under way as a process may have
]);

// ---- clients and servers ------------------------------------------------------------------------

/** A client that counts. */
class Client {
  readonly socket: Socket;
  sent = 0;
  received = '';
  readonly closed: Promise<void>;

  constructor(where: number | string, allowHalfOpen = false) {
    this.socket =
      typeof where === 'number'
        ? connect({ port: where, host: '127.0.0.1', allowHalfOpen })
        : connect({ path: where, allowHalfOpen });
    this.socket.setEncoding('latin1').on('data', (part: string) => (this.received += part));
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => {
        resolve();
      });
    });
  }

  send(text: string): this {
    this.sent += text.length;
    this.socket.write(text, 'latin1');
    return this;
  }

  /** Until so many answers have come in all. */
  async answers(count: number): Promise<void> {
    await until(`${String(count)} answers`, () => this.statuses().length >= count);
  }

  statuses(): number[] {
    return [...this.received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
  }

  async end(): Promise<void> {
    this.socket.end();
    await this.closed;
  }
}

const statement = 'GET /clientes/1/extrato HTTP/1.1\r\nHost: a\r\n\r\n';
const nobody = 'GET /clientes/6/extrato HTTP/1.1\r\nHost: a\r\n\r\n';
function posting(kind: 'c' | 'd', value: number): string {
  const body = JSON.stringify({ valor: value, tipo: kind, descricao: 'x' });
  const length = String(body.length);
  return `POST /clientes/1/transacoes HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${body}`;
}

/** A server that does with each connection what it is told, on a TCP port where that is its path. */
async function upstream(
  t: ExecutionContext,
  path: string | 0,
  serve: (socket: Socket) => void,
): Promise<string> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    serve(socket);
  });
  await new Promise<void>((resolve) => {
    if (path === 0) server.listen(0, '127.0.0.1', resolve);
    else server.listen(path, resolve);
  });
  t.teardown(() => server.close());
  return path === 0 ? `127.0.0.1:${String((server.address() as AddressInfo).port)}` : path;
}

/** Answers `pong` to the first bytes, and ends when the client does. */
const pong = (socket: Socket): void => {
  socket.once('data', () => socket.write('pong'));
  socket.resume();
  socket.on('end', () => socket.end());
};

interface Front {
  readonly port: number;
  readonly samples: () => Promise<Samples>;
  readonly settled: (metric: string, value: number) => Promise<Samples>;
}

async function front(t: ExecutionContext, options: BalancerOptions): Promise<Front> {
  const balancer = new Balancer({ host: '127.0.0.1', port: 0, ...options });
  t.teardown(() => balancer.stop({ drain: 0 }));
  const { port } = await balancer.start();
  const samples = (): Promise<Samples> => samplesOf('balancer', balancer.stats()!);
  const settled = (metric: string, value: number): Promise<Samples> =>
    until(`${metric} is ${String(value)}`, async () => {
      const now = await samples();
      return now.get(metric) === value && now;
    });
  return { port: port!, samples, settled };
}

/** Waits until it has the answer. */
async function ponged(client: Client): Promise<void> {
  await until('the answer came', () => client.received === 'pong');
}

// ---- the database -------------------------------------------------------------------------------

// No two counts are the same, so that none can stand for another.
test.serial('database: connections, requests, bytes, transactions, commits', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const earlier = new Database({ data, host: '127.0.0.1', port: 0 });
  const before = new Client((await earlier.start()).port!);
  for (let i = 1; i <= 10; i++) await before.send(posting('c', 5)).answers(i);
  before.socket.destroy();
  await earlier.stop({ drain: 0 });

  const database = new Database({ data, host: '127.0.0.1', port: 0 });
  t.teardown(() => database.stop({ drain: 0 }));
  const began = performance.now();
  const { port } = await database.start();
  const samples = (): Promise<Samples> => samplesOf('database', database.stats()!);
  const client = (): Client => new Client(port!);
  const [a, b, c, gone] = [client(), client(), client(), client()];
  await gone.send(statement).answers(1);
  await gone.end();
  // Each waits for the one before, so that each is a commit of its own; then two in one.
  for (let i = 1; i <= 4; i++) await a.send(posting('c', 5)).answers(i);
  await a.send(posting('c', 5) + posting('c', 5)).answers(6);
  await a.send(statement.repeat(2)).answers(8);
  await b.send(posting('d', 1e12)).answers(1);
  await b.send(nobody).answers(2);
  const body = 'x'.repeat(1000);
  c.send(`POST /clientes/1/transacoes HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n${body}`);
  const sent = a.sent + b.sent + c.sent + gone.sent;
  const done = await until('all bytes are there', async () => {
    const now = await samples();
    return now.get('received_bytes_total') === sent && now;
  });
  const elapsed = (performance.now() - began) / 1000;
  t.deepEqual(
    [a.statuses(), b.statuses()],
    [
      [200, 200, 200, 200, 200, 200, 200, 200],
      [422, 404],
    ],
  );
  compare(t, done, {
    connections_total: 4,
    connections_active: 3,
    requests_total: 11,
    answers_2xx_total: 9,
    answers_4xx_total: 2,
    received_bytes_total: sent,
    sent_bytes_total: a.received.length + b.received.length + gone.received.length,
    held_bytes: [1000, 64 * 1024],
    received_connections_total: 0,
    timeouts_total: 0,
    accept_pauses_total: 0,
    transactions_total: 6,
    acknowledged_seq: 16,
    durable_seq: 16,
    commits_total: 5,
    // One each, and perhaps a seal of another one behind each; the same with blocks.
    flushes_total: [5, 10],
    written_bytes_total: [5 * 4096, 10 * 4096],
    // A write and a flush are two system calls at least: more than a microsecond.
    commit_seconds_total: [5e-6, elapsed],
    commit_seconds_max: [1e-6, done.get('commit_seconds_total')!],
  });
  t.true(done.get('commit_seconds_max')! >= done.get('commit_seconds_total')! / 5);
  for (const each of [a, b, c]) each.socket.destroy();
  const after = await until('nobody is connected', async () => {
    const now = await samples();
    return now.get('connections_active') === 0 && now;
  });
  compare(t, after, { connections_total: 4, connections_active: 0, held_bytes: 0 });
});

test.serial('database, relaxed: what was answered is ahead of what is durable', async (t) => {
  const database = new Database({
    data: join(temporaryDirectory(t), 'data'),
    host: '127.0.0.1',
    port: 0,
    fsyncInterval: 60_000,
  });
  t.teardown(() => database.stop({ drain: 0 }));
  const client = new Client((await database.start()).port!);
  let credits = 0;
  // Between an answer and the seal of an idle moment, which flushes.
  const done = await until('an answer is ahead', async () => {
    credits++;
    await client.send(posting('c', 5)).answers(credits);
    const now = await samplesOf('database', database.stats()!);
    return now.get('durable_seq')! < credits && now;
  });
  client.socket.destroy();
  compare(t, done, {
    acknowledged_seq: credits,
    durable_seq: [0, credits - 1],
    commits_total: credits,
    flushes_total: [0, credits - 1],
  });
});

test.serial('database: deadlines, and rests at the limit of connections', async (t) => {
  const database = new Database({
    data: join(temporaryDirectory(t), 'data'),
    host: '127.0.0.1',
    port: 0,
    connectionsMax: 1,
    headerTimeout: 100,
  });
  t.teardown(() => database.stop({ drain: 0 }));
  const { port } = await database.start();
  const slow = new Client(port!).send('GET / HT');
  await slow.closed;
  t.deepEqual(slow.statuses(), [408]);
  const first = new Client(port!).send(statement);
  await first.answers(1);
  const second = new Client(port!).send(statement);
  await until('the second waits', () => database.stats()!.acceptPauses > 0);
  await first.end();
  await second.answers(1);
  compare(t, await samplesOf('database', database.stats()!), {
    connections_total: 3,
    timeouts_total: 1,
    answers_4xx_total: 1,
    answers_2xx_total: 2,
    accept_pauses_total: [1, 3],
  });
  second.socket.destroy();
});

// ---- balancer and api ---------------------------------------------------------------------------

test.serial('forwarder: sessions, bytes and times, of all and of an upstream', async (t) => {
  const path = join(temporaryDirectory(t), 'up.sock');
  await upstream(t, path, pong);
  const began = performance.now();
  const { port, samples, settled } = await front(t, { upstreams: [`${path} weight=3`] });
  const stays = new Client(port).send('ping!');
  await ponged(stays);
  compare(t, await samples(), {
    sessions_active: 1,
    upstream_sessions_active: 1,
    upstream_up: 1,
    upstream_weight: 3,
    ended_normally_total: 0,
    pipes_in_use: 0,
  });
  for (let i = 0; i < 4; i++) {
    const client = new Client(port, true).send('ping!');
    await ponged(client);
    await client.end();
  }
  await stays.end();
  const done = await settled('ended_normally_total', 5);
  const elapsed = (performance.now() - began) / 1000;
  // All sessions together, and none can have lasted for longer than all of this.
  const times: [number, number] = [5e-6, 5 * elapsed];
  const one: [number, number] = [1e-6, elapsed];
  compare(t, done, {
    sessions_total: 5,
    sessions_active: 0,
    up_bytes_total: 25,
    down_bytes_total: 20,
    retries_total: 0,
    ended_normally_total: 5,
    ended_by_client_total: 0,
    ended_by_upstream_total: 0,
    limit_pauses_total: 0,
    accept_pauses_total: 0,
    buffers_in_use: 0,
    pipes_in_use: 0,
    pipes_peak: 0,
    passed_total: 0,
    upstream_connections_total: 5,
    upstream_sessions_active: 0,
    upstream_connect_failures_total: 0,
    upstream_sent_bytes_total: 25,
    upstream_received_bytes_total: 20,
    connect_seconds_sum: times,
    connect_seconds_count: 5,
    session_seconds_sum: times,
    session_seconds_count: 5,
    upstream_connect_seconds_sum: times,
    upstream_connect_seconds_count: 5,
    upstream_session_seconds_sum: times,
    upstream_session_seconds_count: 5,
    ...Object.fromEntries(
      ['', 'upstream_'].flatMap((prefix) =>
        ['connect', 'session'].flatMap((what) =>
          ['0.5', '0.9', '0.99', '0.999'].map((quantile) => [
            `${prefix}${what}_seconds,quantile="${quantile}"`,
            one,
          ]),
        ),
      ),
    ),
  });
  t.true(done.get('session_seconds_sum')! >= done.get('connect_seconds_sum')!);
});

test.serial('forwarder: pipes are lent to a stream and come back', async (t) => {
  const path = join(temporaryDirectory(t), 'up.sock');
  const piece = Buffer.alloc(256 * 1024);
  const wanted = 64 * piece.length;
  await upstream(t, path, (socket) => {
    let left = wanted;
    const more = (): void => {
      while (left > 0) {
        left -= piece.length;
        if (!socket.write(piece)) {
          socket.once('drain', more);
          return;
        }
      }
      socket.end();
    };
    more();
    socket.resume();
  });
  const { port, settled } = await front(t, { upstreams: [path] });
  const client = new Client(port);
  await client.closed;
  compare(t, await settled('ended_normally_total', 1), {
    down_bytes_total: wanted,
    upstream_received_bytes_total: wanted,
    pipes_in_use: 0,
    pipes_peak: 1,
    buffers_in_use: 0,
  });
});

test.serial('forwarder: what a peer does not take is held, and given back', async (t) => {
  const path = join(temporaryDirectory(t), 'up.sock');
  let slow: Socket | undefined;
  await upstream(t, path, (socket) => {
    slow = socket.pause();
    socket.on('end', () => socket.end());
  });
  const { port, samples, settled } = await front(t, { upstreams: [path] });
  const client = new Client(port, true).send('x'.repeat(16 * 1024 * 1024));
  const held = (now: Samples): number => now.get('buffers_in_use')! + now.get('pipes_in_use')!;
  const during = await until('something is held', async () => {
    const now = await samples();
    return slow !== undefined && held(now) > 0 && now;
  });
  compare(t, during, { buffers_in_use: [0, 1], pipes_in_use: [0, 1], sessions_active: 1 });
  slow!.resume();
  await client.end();
  const after = await settled('ended_normally_total', 1);
  compare(t, after, {
    up_bytes_total: client.sent,
    upstream_sent_bytes_total: client.sent,
    buffers_in_use: 0,
    pipes_in_use: 0,
    buffers_peak: [during.get('buffers_in_use')!, 2],
    pipes_peak: [during.get('pipes_in_use')!, 2],
  });
});

for (const [metric, serve, act, options] of [
  [
    'ended_by_client_total',
    pong,
    async (client: Client) => {
      await ponged(client.send('x'));
      client.socket.resetAndDestroy();
    },
    {},
  ],
  [
    'ended_by_upstream_total',
    (socket: Socket) => socket.once('data', () => socket.resetAndDestroy()),
    (client: Client) => client.send('x').closed,
    {},
  ],
  [
    'ended_idle_total',
    pong,
    (client: Client) => client.send('x').closed,
    { idleTimeout: 100, halfCloseTimeout: 60_000 },
  ],
  [
    'ended_half_closed_total',
    (socket: Socket) => {
      socket.write('pong');
      socket.resume();
    },
    (client: Client) => {
      client.socket.end('x');
      return client.closed;
    },
    { idleTimeout: 60_000, halfCloseTimeout: 100 },
  ],
  [
    'ended_lifetime_total',
    pong,
    (client: Client) => client.send('x').closed,
    { sessionTimeout: 100 },
  ],
  [
    'ended_proxy_header_total',
    pong,
    (client: Client) => client.send('GET / HTTP/1.1\r\n\r\n').closed,
    { proxyProtocolFrom: '127.0.0.0/8' },
  ],
] as const) {
  test.serial(`forwarder: ${metric}`, async (t) => {
    const { port, settled } = await front(t, {
      upstreams: [await upstream(t, 0, serve)],
      ...options,
    });
    await act(new Client(port));
    const done = await settled('sessions_active', 0);
    // It, and no other.
    const others = [...done].filter(([name, value]) => name.startsWith('ended_') && value !== 0);
    t.deepEqual(others, [[metric, 1]]);
    compare(t, done, { [metric]: 1, sessions_total: 1 });
  });
}

test.serial('forwarder: failed connects, retries, checks, ejections', async (t) => {
  const directory = temporaryDirectory(t);
  const good = join(directory, 'good.sock');
  await upstream(t, good, pong);
  const missing = join(directory, 'missing.sock');
  const two = await front(t, { upstreams: [missing, good], ejectAfter: 0 });
  for (let i = 0; i < 4; i++) {
    const client = new Client(two.port, true).send('x');
    await ponged(client);
    await client.end();
  }
  // Every second one begins with the one that is missing.
  compare(t, await two.settled('ended_normally_total', 4), { retries_total: 2 });

  const dead = await front(t, {
    upstreams: [missing],
    connectTimeout: 200,
    ejectAfter: 1,
    ejectTime: 60_000,
    ejectTimeMax: 60_000,
    healthCheck: 'connect',
    healthInterval: 100,
  });
  await new Client(dead.port).send('x').closed;
  await dead.settled('sessions_active', 0);
  const done = await until('it was checked', async () => {
    const now = await dead.samples();
    return now.get('upstream_checks_total')! >= 3 && now;
  });
  const checks = done.get('upstream_checks_total')!;
  compare(t, done, {
    ended_unreachable_total: 1,
    upstream_connect_failures_total: [1, 10],
    upstream_connections_total: 0,
    upstream_checks_total: checks,
    upstream_checks_failed_total: checks,
  });

  const well = await front(t, {
    upstreams: [good],
    healthCheck: 'connect',
    healthInterval: 100,
  });
  compare(
    t,
    await until('it was checked', async () => {
      const now = await well.samples();
      return now.get('upstream_checks_total')! >= 2 && now;
    }),
    { upstream_checks_failed_total: 0, upstream_up: 1 },
  );
});

test.serial('forwarder: silent sessions and the ejection that they lead to', async (t) => {
  const directory = temporaryDirectory(t);
  const silent = join(directory, 'silent.sock');
  await upstream(t, silent, (socket) => {
    socket.once('data', () => socket.end());
    socket.resume();
  });
  const { port, settled } = await front(t, {
    upstreams: [silent],
    ejectAfter: 2,
    ejectTime: 60_000,
    ejectTimeMax: 60_000,
  });
  for (let i = 0; i < 2; i++) await new Client(port).send('x').closed;
  compare(t, await settled('upstream_silent_sessions_total', 2), {
    upstream_silent_sessions_total: 2,
    // Never all of them: the only one stays in use.
    upstream_ejections_total: [0, 1],
  });
});

test.serial('forwarder: rests at the limit of connections', async (t) => {
  const path = join(temporaryDirectory(t), 'up.sock');
  await upstream(t, path, pong);
  const { port, samples, settled } = await front(t, { upstreams: [path], connectionsMax: 1 });
  const first = new Client(port, true).send('x');
  await ponged(first);
  const second = new Client(port, true).send('x');
  await until('the second waits', async () => (await samples()).get('limit_pauses_total')! > 0);
  compare(t, await samples(), { sessions_total: 1, sessions_active: 1, limit_pauses_total: 1 });
  await first.end();
  await ponged(second);
  await second.end();
  compare(t, await settled('ended_normally_total', 2), {
    sessions_total: 2,
    accept_pauses_total: 0,
  });
});

test.serial('handoff: what is passed, received and gone again', async (t) => {
  const directory = temporaryDirectory(t);
  const unixSocket = join(directory, 'db.sock');
  const database = new Database({ data: join(directory, 'data'), unixSocket });
  const api = new Api({ host: '127.0.0.1', port: 0, db: unixSocket, mode: 'handoff' });
  t.teardown(async () => {
    await api.stop({ drain: 0 });
    await database.stop({ drain: 0 });
  });
  await database.start();
  const { port } = await api.start();
  const clients = [new Client(port!), new Client(port!)];
  for (const each of clients) await each.send(statement).answers(1);
  const samples = (): Promise<Samples> => samplesOf('api', api.stats()!);
  const during = await until('both are there', async () => {
    const now = await samples();
    return now.get('passed_active') === 2 && now;
  });
  compare(t, during, {
    sessions_total: 2,
    passed_total: 2,
    passed_active: 2,
    pass_messages_total: [1, 2],
    received_connections_total: 0,
    ended_at_holder_total: 0,
  });
  compare(t, await samplesOf('database', database.stats()!), {
    received_connections_total: 2,
    connections_active: 2,
    answers_2xx_total: 2,
  });
  for (const each of clients) await each.end();
  const after = await until('both are gone', async () => {
    const now = await samples();
    return now.get('ended_at_holder_total') === 2 && now;
  });
  compare(t, after, { passed_total: 2, passed_active: 0, sessions_active: 0 });
});

// ---- none is left out ---------------------------------------------------------------------------

test.serial('every metric was compared here, or a native test looks at its counter', async (t) => {
  const directory = temporaryDirectory(t);
  const unixSocket = join(directory, 'db.sock');
  const database = new Database({ data: join(directory, 'data'), unixSocket });
  const balancer = new Balancer({ host: '127.0.0.1', port: 0, upstreams: [unixSocket] });
  t.teardown(async () => {
    await balancer.stop({ drain: 0 });
    await database.stop({ drain: 0 });
  });
  await database.start();
  await balancer.start();
  const all = [
    ...(await samplesOf('database', database.stats()!)).keys(),
    ...(await samplesOf('balancer', balancer.stats()!)).keys(),
  ].map((name) => name.replace(/,quantile=.*/, ''));
  // Facts about the process are another file's.
  const process = ['up', 'resident_bytes', 'cpu_seconds_total', 'restarts_total'];
  const names = new Set(all.filter((name) => !process.includes(name)));
  t.deepEqual(
    [...names].filter(
      (name) => ![compared, unprovoked].some((set) => set.has(name)) && !(name in native),
    ),
    [],
    'these are compared with nothing',
  );
  t.deepEqual(
    [...Object.keys(native), ...unprovoked].filter((name) => !names.has(name)),
    [],
    'these are no metrics',
  );
  for (const [name, [file, counter]] of Object.entries(native)) {
    const source = readFileSync(join(root, 'test/native', file), 'utf8');
    // As in EXPECT_EQ(stats.parked, 5u), also on a further line of it.
    t.true(
      new RegExp(`(EXPECT|ASSERT)_[^;]*\\b${counter}\\b`).test(source),
      `${file} compares nothing with ${name}`,
    );
  }
});

// What JavaScript calls bytesIn is what C++ calls bytes_in: no counter stands for another.
test.serial('the addon gives each counter by its own name', (t) => {
  const others: Readonly<Record<string, string>> = {
    receiveRefused: 'refused',
    receiveTruncated: 'truncated',
    receiveStrays: 'strays',
    receiveUnacknowledged: 'unacknowledged',
    channelsDenied: 'denied',
  };
  let rows = 0;
  for (const file of [
    'face/face.h',
    'forward/forwarder.h',
    'forward/handoff.h',
    'forward/upstream.h',
    'http/server.h',
    'ledger/stats.h',
    'intake/handoff_receiver.h',
  ]) {
    const source = readFileSync(join(root, 'native', file), 'utf8');
    for (const [given, name, field] of source.matchAll(/\beach\("(\w+)", \w+\.(\w+)\)/g)) {
      rows++;
      const snake = name!.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      const answers = snake.replace(/(?<=^answers)(?=\d)/, '_');
      const received = file === 'intake/handoff_receiver.h' ? others[name!] : undefined;
      t.is(field, received ?? answers, given);
    }
  }
  t.true(rows > 70, String(rows));
});
