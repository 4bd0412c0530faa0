// Topologies as data: their order, what each process is started with, and what is refused.
import test from 'ava';
import { EsporaError } from '#espora/errors.js';
import { resolveOptions } from '#espora/options/resolve.js';
import type { Sources } from '#espora/options/resolve.js';
import { optionOf } from '#espora/options/table.js';
import { topologies } from '#espora/topology/index.js';
import { planServices, socketName, startOrder } from '#espora/topology/topology.js';
import type { ServiceNode, ServicePlan, Topology } from '#espora/topology/topology.js';

function plan(
  topology: Topology,
  sources: Sources = {},
  directory = '/run/e',
): readonly ServicePlan[] {
  return planServices(topology, resolveOptions('start', sources).settings, directory);
}

const node = (
  name: string,
  upstreams: string[],
  listen: 'entry' | 'socket' = 'socket',
): ServiceNode => ({
  name,
  kind: 'api',
  listen,
  upstreams,
  limits: { cpus: 1, memoryMegabytes: 1 },
});
const topology = (...services: ServiceNode[]): Topology => ({ name: 't', summary: '', services });

test('relay: every process is started with exactly this', (t) => {
  t.deepEqual(
    plan(topologies.relay).map(({ name, kind, environment }) => ({ name, kind, environment })),
    [
      {
        name: 'database',
        kind: 'database',
        environment: { ESPORA_NAME: 'database', UNIX_SOCKET: '/run/e/database.sock' },
      },
      {
        name: 'api 1',
        kind: 'api',
        environment: {
          ESPORA_NAME: 'api 1',
          UNIX_SOCKET: '/run/e/api-1.sock',
          DB: '/run/e/database.sock',
        },
      },
      {
        name: 'api 2',
        kind: 'api',
        environment: {
          ESPORA_NAME: 'api 2',
          UNIX_SOCKET: '/run/e/api-2.sock',
          DB: '/run/e/database.sock',
        },
      },
      {
        name: 'balancer',
        kind: 'balancer',
        environment: {
          ESPORA_NAME: 'balancer',
          ESPORA_HOST: '0.0.0.0',
          PORT: '9999',
          UPSTREAMS: '/run/e/api-1.sock,/run/e/api-2.sock',
        },
      },
    ],
  );
});

test('single: the database is the entry', (t) => {
  t.deepEqual(
    plan(topologies.single).map(({ environment }) => environment),
    [{ ESPORA_NAME: 'database', ESPORA_HOST: '0.0.0.0', PORT: '9999' }],
  );
});

test('handoff: the picture of relay, and every service that forwards passes clients on', (t) => {
  const [ours, theirs] = [plan(topologies.handoff), plan(topologies.relay)];
  for (const [index, { kind, environment }] of ours.entries()) {
    const mode = kind === 'database' ? {} : { ESPORA_MODE: 'handoff' };
    t.deepEqual(environment, { ...theirs[index]!.environment, ...mode });
  }
  t.is(ours.length, theirs.length);
});

test('settings reach the services they apply to, and no others', (t) => {
  const flags = {
    port: '0',
    data: '/d',
    fsyncInterval: '10ms',
    connectTimeout: '2s',
    drainTimeout: '1s',
    metricsPort: '1234',
    runDirectory: '/r',
  };
  const [database, api, , balancer] = plan(topologies.relay, { flags });
  t.like(database!.environment, {
    ESPORA_DATA: '/d',
    ESPORA_FSYNC_INTERVAL: '10ms',
    ESPORA_DRAIN_TIMEOUT: '1s',
    ESPORA_CONNECT_TIMEOUT: undefined,
    PORT: undefined,
  });
  t.like(api!.environment, {
    ESPORA_CONNECT_TIMEOUT: '2s',
    ESPORA_DATA: undefined,
    PORT: undefined,
  });
  t.like(balancer!.environment, {
    PORT: '0',
    ESPORA_CONNECT_TIMEOUT: '2s',
    ESPORA_DATA: undefined,
  });
  for (const { environment } of [database!, api!, balancer!]) {
    t.false('ESPORA_METRICS_PORT' in environment);
    t.false('ESPORA_RUN_DIRECTORY' in environment);
    t.false('ESPORA_TOPOLOGY' in environment);
  }
});

test('every plan is accepted by its own command and says what was asked for', (t) => {
  const flags = { accounts: '[{"id":3,"limit":4}]', bodyBytesMax: '8KiB', idleTimeout: '5m' };
  for (const each of Object.values(topologies)) {
    for (const { kind, environment, unixSocket } of plan(each, { flags })) {
      const { values } = resolveOptions(kind, { environment });
      const all = values as Record<string, unknown>;
      t.is(all['unixSocket'], unixSocket);
      if (kind === 'database') t.deepEqual(all['accounts'], [{ id: 3, limit: 4 }]);
      else t.is(all['idleTimeout'], 300_000);
    }
  }
});

test('each topology has one entry, unique sockets, and fits the limits of the contest', (t) => {
  for (const each of Object.values(topologies)) {
    const services = each.services;
    t.is(services.filter(({ listen }) => listen === 'entry').length, 1);
    t.is(new Set(services.map(({ name }) => socketName(name))).size, services.length);
    const sum = (of: (limits: ServiceNode['limits']) => number): number =>
      services.reduce((total, { limits }) => total + of(limits), 0);
    t.true(sum(({ cpus }) => Math.round(cpus * 100)) <= 150, each.name);
    t.true(sum(({ memoryMegabytes }) => memoryMegabytes) <= 550, each.name);
    t.is(topologies[each.name as keyof typeof topologies], each);
  }
});

test('the option knows exactly the topologies that there are', (t) => {
  t.is(
    optionOf('topology').kind.expected,
    Object.keys(topologies)
      .join(', ')
      .replace(/, (?=[^,]*$)/, ' or '),
  );
});

test('services come after their upstreams, however they are listed', (t) => {
  const order = startOrder(
    topology(node('a', ['b', 'c'], 'entry'), node('b', ['d']), node('c', ['d']), node('d', [])),
  );
  t.deepEqual(
    order.map(({ name }) => name),
    ['d', 'b', 'c', 'a'],
  );
});

test('a cycle, an unknown upstream, an upstream without socket and a name used twice are bugs', (t) => {
  t.throws(() => startOrder(topology(node('a', ['b']), node('b', ['a']))), {
    message: /is its own upstream/,
  });
  t.throws(() => startOrder(topology(node('a', ['a']))), { message: /is its own upstream/ });
  t.throws(() => startOrder(topology(node('a', ['x']))), { message: /a has no upstream x/ });
  t.throws(() => startOrder(topology(node('a', ['b']), node('b', [], 'entry'))), {
    message: /no upstream b/,
  });
  t.throws(() => startOrder(topology(node('a', []), node('a', []))), { message: /used twice/ });
});

test('a run directory so deep that a socket does not fit is refused before anything starts', (t) => {
  const error = t.throws(() => plan(topologies.relay, {}, `/${'x'.repeat(100)}`), {
    instanceOf: EsporaError,
  });
  t.is(error.code, 'ERR_ESPORA_INVALID');
  t.regex(error.message, /at most 107 bytes and this one has 115/);
});
