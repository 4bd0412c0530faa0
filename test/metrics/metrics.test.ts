// Metrics: their names and types, that none of the addon's counters is left out, and the endpoint.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { Api, Database } from '#espora/index.js';
import { metricsText } from '#espora/metrics/exposition.js';
import { processStats } from '#espora/metrics/measured.js';
import type { Measured, ServiceStats } from '#espora/metrics/measured.js';
import { serveMetrics } from '#espora/metrics/server.js';
import { send, statement } from '../helpers/http.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const promtool = ['promtool', '/usr/bin/promtool'].find(
  (program) => spawnSync(program, ['--version']).status === 0,
);
if (promtool === undefined) {
  process.stderr.write('metrics/metrics: skipped in part: there is no promtool here\n');
}

const line = /^espora_[a-z0-9_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+-]+$/;

function measured(
  name: string,
  kind: Measured['kind'],
  service: ServiceStats | undefined,
): Measured {
  return { name, kind, restarts: 2, up: true, service, residentBytes: 5, cpuSeconds: 0.5 };
}

function samples(text: string): string[] {
  return text.split('\n').filter((one) => one !== '' && !one.startsWith('#'));
}

test('every counter of the addon is a metric, and every metric has a number', async (t) => {
  const directory = temporaryDirectory(t);
  const unixSocket = join(directory, 'db.sock');
  const database = new Database({ data: join(directory, 'data'), unixSocket });
  const api = new Api({ host: '127.0.0.1', port: 0, db: unixSocket });
  t.teardown(() => database.stop());
  t.teardown(() => api.stop());
  await database.start();
  const { port } = await api.start();
  t.is((await statement({ port: port! }, 1)).status, 200);
  const databaseStats = database.stats()!;
  const { upstreams, ...apiStats } = api.stats()!;
  const text = await metricsText([
    { ...measured('database', 'database', databaseStats), fsyncIntervalMs: 10 },
    measured('api 1', 'api', { ...apiStats, upstreams }),
  ]);
  const found = samples(text);
  t.true(
    found.every((sample) => line.test(sample)),
    text,
  );
  t.is(upstreams.length, 1);
  t.is(
    found.length,
    // Four facts about each process, one about flushing; of an upstream's, one is a label and two
    // are words. Two times of each are four percentiles, a sum and a count.
    4 +
      4 +
      1 +
      Object.keys(databaseStats).length +
      Object.keys(apiStats).length +
      Object.keys(upstreams[0]!).length -
      3 +
      2 * 2 * 5,
  );
  t.true(found.includes('espora_requests_total{service="database"} 1'));
  t.true(found.includes('espora_fsync_interval_seconds{service="database"} 0.01'));
  t.true(found.includes(`espora_upstream_up{service="api 1",upstream="${unixSocket}"} 1`));
  t.true(found.includes('espora_restarts_total{service="api 1"} 2'));
  t.regex(text, /^# TYPE espora_requests_total counter$/m);
  t.regex(text, /^# TYPE espora_connections_active gauge$/m);
  t.regex(text, /^# TYPE espora_session_seconds summary$/m);
  t.true(found.includes('espora_connect_seconds_count{service="api 1"} 1'));
  t.regex(
    text,
    /^espora_upstream_connect_seconds\{service="api 1",upstream="[^"]+",quantile="0.99"\} /m,
  );
  if (promtool === undefined) {
    t.log('skipped in part: there is no promtool here');
  } else {
    const checked = spawnSync(promtool, ['check', 'metrics'], { input: text, encoding: 'utf8' });
    t.deepEqual(
      { status: checked.status, said: `${checked.stdout}${checked.stderr}` },
      { status: 0, said: '' },
    );
  }
});

test('a process that does not run yet says only what it is', async (t) => {
  t.deepEqual(samples(await metricsText([measured('api 1', 'api', undefined)])), [
    'espora_up{service="api 1"} 1',
    'espora_restarts_total{service="api 1"} 2',
    'espora_resident_bytes{service="api 1"} 5',
    'espora_cpu_seconds_total{service="api 1"} 0.5',
  ]);
});

test('a process that is not up says nothing but that', async (t) => {
  const text = await metricsText([
    { name: 'api 1', kind: 'api', restarts: 2, up: false },
    measured('api 2', 'api', undefined),
  ]);
  t.deepEqual(
    samples(text).filter((sample) => sample.includes('api 1')),
    ['espora_up{service="api 1"} 0', 'espora_restarts_total{service="api 1"} 2'],
  );
  t.true(text.includes('espora_up{service="api 2"} 1'));
});

test('two processes share a metric and keep their labels', async (t) => {
  const found = samples(
    await metricsText([measured('a', 'api', undefined), measured('b', 'api', undefined)]),
  );
  t.deepEqual(
    found.filter((sample) => sample.startsWith('espora_resident_bytes')),
    ['espora_resident_bytes{service="a"} 5', 'espora_resident_bytes{service="b"} 5'],
  );
});

test('this process has memory and time', (t) => {
  const seconds = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  const before = seconds();
  const { residentBytes, cpuSeconds } = processStats(undefined);
  t.true(residentBytes > 1_000_000);
  t.true(before > 0 && before <= cpuSeconds && cpuSeconds <= seconds());
});

test('the endpoint answers what it knows, and a failure behind it is a 500', async (t) => {
  let fails = false;
  const server = await serveMetrics({ host: '127.0.0.1', port: 0 }, () =>
    fails ? Promise.reject(new Error('no')) : Promise.resolve([measured('a', 'api', undefined)]),
  );
  t.teardown(() => {
    server.close();
  });
  const get = (path: string, method = 'GET'): Promise<{ status: number; body: string }> =>
    send({ port: server.port }, method, path);
  t.is((await get('/metrics?x=1')).status, 200);
  t.deepEqual(JSON.parse((await get('/stats')).body), [
    { name: 'a', kind: 'api', restarts: 2, up: true, residentBytes: 5, cpuSeconds: 0.5 },
  ]);
  t.is((await get('/nothing')).status, 404);
  t.is((await get('/stats', 'DELETE')).status, 405);
  fails = true;
  t.is((await get('/metrics')).status, 500);
});

test('an address that is taken is an error with a code', async (t) => {
  const first = await serveMetrics({ host: '127.0.0.1', port: 0 }, () => Promise.resolve([]));
  t.teardown(() => {
    first.close();
  });
  await t.throwsAsync(
    serveMetrics({ host: '127.0.0.1', port: first.port }, () => Promise.resolve([])),
    {
      code: 'ERR_ESPORA_ADDRESS_IN_USE',
    },
  );
});
