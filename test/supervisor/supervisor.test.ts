// The supervisor against services that misbehave: order, readiness, crashes, refusals to end.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Supervisor } from '#espora/supervisor/supervisor.js';
import type { SupervisorEvent, SupervisorOptions } from '#espora/supervisor/supervisor.js';
import type { ServicePlan } from '#espora/topology/topology.js';
import { isRunning, statOf } from '../helpers/process.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';
import { until } from '../helpers/until.js';

const fakeService = fileURLToPath(new URL('../fixtures/fake-service.js', import.meta.url));
const quick = { firstMs: 1, maxMs: 8, calmMs: 60_000 };

interface Stage {
  readonly supervisor: Supervisor;
  readonly events: SupervisorEvent[];
  /** What the services noted: `name what`. */
  readonly log: () => string[];
  readonly eventOf: <Name extends SupervisorEvent['event']>(
    name: Name,
    service?: string,
  ) => Promise<Extract<SupervisorEvent, { event: Name }>>;
}

/** A supervisor of fake services, each with its behaviour; stopped when the test ends. */
function stage(
  t: ExecutionContext,
  behaviours: Readonly<Record<string, string>>,
  options: Partial<SupervisorOptions> = {},
): Stage {
  const logFile = join(temporaryDirectory(t), 'log');
  const events: SupervisorEvent[] = [];
  const plans = Object.keys(behaviours).map((name): ServicePlan => ({
    name,
    kind: 'api',
    environment: { ESPORA_NAME: name, FAKE_BEHAVIOUR: behaviours[name]!, FAKE_LOG: logFile },
    unixSocket: undefined,
    upstreams: [],
    limits: { cpus: 1, memoryMegabytes: 1 },
  }));
  const supervisor = new Supervisor({
    plans,
    commandOf: ({ environment }) => ({
      file: process.execPath,
      arguments: [fakeService],
      environment: { ...process.env, ...environment },
    }),
    onEvent: (event) => events.push(event),
    drainMs: 10_000,
    backOff: quick,
    ...options,
  });
  t.teardown(() => supervisor.stopAtOnce());
  return {
    supervisor,
    events,
    log: () =>
      readFileSync(logFile, { encoding: 'utf8', flag: 'a+' })
        .split('\n')
        .slice(0, -1)
        .map((line) => line.split(' ').slice(0, -1).join(' ')),
    eventOf: (name, service) =>
      until(`${name} ${service ?? ''}`, () =>
        events.find(
          (event): event is Extract<SupervisorEvent, { event: typeof name }> =>
            event.event === name &&
            (service === undefined || ('service' in event && event.service === service)),
        ),
      ),
  };
}

test('each service is started when the one before it is ready, and stopped in reverse', async (t) => {
  const { supervisor, events, log } = stage(t, { a: '', b: '', c: '' });
  await supervisor.start();
  t.deepEqual(log(), ['a born', 'a ready', 'b born', 'b ready', 'c born', 'c ready']);
  t.is(events.at(-1)?.event, 'ready');
  await supervisor.stop();
  t.deepEqual(log().slice(6), ['c term', 'b term', 'a term']);
  t.is(await supervisor.ended, undefined);
  t.deepEqual(
    events
      .slice(4)
      .map((event) => ('service' in event ? `${event.event} ${event.service}` : event.event)),
    [
      'stopping',
      'service-stopping c',
      'service-stopped c',
      'service-stopping b',
      'service-stopped b',
      'service-stopping a',
      'service-stopped a',
      'stopped',
    ],
  );
});

for (const [behaviour, reason, exitCode] of [
  ['fail-1', 'the reason', 1],
  ['fail-2', 'the reason', 2],
  ['fail-3', 'the reason', 3],
  ['silent-exit', 'ended with exit code 7', 1],
  ['suicide', 'was killed by SIGKILL', 1],
] as const) {
  test(`a service that ends before it was ready stops the whole: ${behaviour}`, async (t) => {
    const { supervisor, events, log } = stage(t, { a: '', b: behaviour, c: '' });
    await supervisor.start();
    const end = await supervisor.ended;
    t.is(end?.message, `b did not start: ${reason}`);
    t.is(end?.exitCode, exitCode);
    t.is(end?.code, 'ERR_ESPORA_SERVICE');
    t.true(log().includes('a term'));
    t.false(log().includes('c born'));
    t.deepEqual(
      events.filter(({ event }) => event === 'ready' || event === 'service-crashed'),
      [],
    );
  });
}

test('a program that cannot be started stops the whole with its reason', async (t) => {
  const { supervisor } = stage(
    t,
    { a: '' },
    {
      commandOf: () => ({ file: '/nonexistent/program', arguments: [], environment: {} }),
    },
  );
  await supervisor.start();
  const end = await supervisor.ended;
  t.regex(end!.message, /^a did not start: could not be started \(.*ENOENT\)$/);
  t.is(end!.exitCode, 1);
});

test('a service that crashes is started again, and no other', async (t) => {
  const { supervisor, eventOf, log } = stage(t, { a: '', b: '' });
  await supervisor.start();
  const before = supervisor.pids();
  process.kill(before.get('a')!, 'SIGKILL');
  const crash = await eventOf('service-crashed', 'a');
  t.is(crash.reason, 'was killed by SIGKILL');
  const after = await until('a has another process', () => {
    const pid = supervisor.pids().get('a');
    return pid !== before.get('a') && pid;
  });
  t.not(after, before.get('a'));
  t.is(supervisor.pids().get('b'), before.get('b'));
  await until('a is ready again', () => log().filter((line) => line === 'a ready').length === 2);
});

test('an end with exit code 0 that nobody asked for is a crash too', async (t) => {
  const { supervisor, eventOf } = stage(t, { a: '' });
  await supervisor.start();
  process.kill(supervisor.pids().get('a')!, 'SIGTERM');
  t.is((await eventOf('service-crashed')).reason, 'ended with exit code 0');
});

test('a crash loop waits longer and longer, to a limit, and never gives up', async (t) => {
  const { supervisor, events } = stage(t, { a: 'crash-loop' });
  void supervisor.start();
  const delays = await until('it crashed often', () => {
    const crashes = events.filter(({ event }) => event === 'service-crashed');
    return (
      crashes.length >= 6 &&
      crashes.map((event) => (event.event === 'service-crashed' ? event.restartInMs : 0))
    );
  });
  t.deepEqual(delays.slice(0, 6), [1, 2, 4, 8, 8, 8]);
  await supervisor.stop();
});

test('a service that cannot start again, but may later, is tried again', async (t) => {
  const { supervisor, events } = stage(t, { a: 'later-fail-1' });
  await supervisor.start();
  process.kill(supervisor.pids().get('a')!, 'SIGKILL');
  const reasons = await until('it failed twice', () => {
    const crashes = events.filter((event) => event.event === 'service-crashed');
    return crashes.length >= 3 && crashes.map(({ reason }) => reason);
  });
  t.deepEqual(reasons.slice(0, 3), [
    'was killed by SIGKILL',
    'did not start: the reason',
    'did not start: the reason',
  ]);
});

test('exit code 3 ends for good, also after a crash', async (t) => {
  const { supervisor, events, log } = stage(t, { a: 'later-fail-3', b: '' });
  await supervisor.start();
  process.kill(supervisor.pids().get('a')!, 'SIGKILL');
  const end = await supervisor.ended;
  t.is(end?.exitCode, 3);
  t.is(end?.message, 'a ended for good: the reason');
  t.is(log().filter((line) => line === 'a born').length, 2);
  t.true(log().includes('b term'));
  t.is(events.filter(({ event }) => event === 'service-crashed').length, 1);
});

test('a stop while services start ends what was started and starts nothing more', async (t) => {
  const { supervisor, log } = stage(t, { a: '', b: 'never-ready', c: '' });
  const started = supervisor.start();
  await until('b waits', () => log().includes('b waiting'));
  await supervisor.stop();
  await started;
  t.deepEqual(log().slice(-2), ['b term', 'a term']);
  t.false(log().includes('c born'));
  t.is(await supervisor.ended, undefined);
});

test('a stop while a service waits for its restart does not start it', async (t) => {
  const { supervisor, eventOf, log } = stage(
    t,
    { a: '' },
    {
      backOff: { firstMs: 60_000, maxMs: 60_000, calmMs: 60_000 },
    },
  );
  await supervisor.start();
  process.kill(supervisor.pids().get('a')!, 'SIGKILL');
  await eventOf('service-crashed');
  await supervisor.stop();
  t.is(log().filter((line) => line === 'a born').length, 1);
});

test('a service that does not end is killed after its time', async (t) => {
  const { supervisor, eventOf, log } = stage(t, { a: 'deaf' }, { drainMs: 0, stopGraceMs: 10 });
  await supervisor.start();
  await supervisor.stop();
  t.true((await eventOf('service-stopped', 'a')).killed);
  t.false(log().includes('a orphaned'));
});

test('a stop at once kills what does not end, without waiting for its time', async (t) => {
  const { supervisor, eventOf, log } = stage(t, { a: '', b: 'deaf' }, { drainMs: 600_000 });
  await supervisor.start();
  const stopped = supervisor.stop();
  await until('b was asked', () => log().includes('b term'));
  await supervisor.stopAtOnce();
  await stopped;
  t.true((await eventOf('service-stopped', 'b')).killed);
});

test('a second stop joins the first, also from within an event', async (t) => {
  const joined: Promise<void>[] = [];
  const { supervisor, events } = stage(t, { a: '' });
  events.push = (...added) => {
    for (const event of added) if (event.event === 'stopping') joined.push(supervisor.stop());
    return Array.prototype.push.apply(events, added);
  };
  await supervisor.start();
  await Promise.all([supervisor.stop(), supervisor.stop()]);
  await Promise.all(joined);
  t.is(joined.length, 1);
  t.is(events.filter(({ event }) => event === 'stopped').length, 1);
});

test('services live in sessions of their own, so a Ctrl-C does not reach them', async (t) => {
  const { supervisor } = stage(t, { a: '', b: '' });
  await supervisor.start();
  for (const pid of supervisor.pids().values()) {
    t.is(statOf(pid)?.session, pid);
    t.not(statOf(pid)?.session, statOf(process.pid)?.session);
  }
});

test('every service that runs is measured, and a dead one is left out', async (t) => {
  const { supervisor, eventOf } = stage(
    t,
    { a: '', b: '' },
    { backOff: { firstMs: 60_000, maxMs: 60_000, calmMs: 60_000 } },
  );
  await supervisor.start();
  t.deepEqual(await supervisor.measure(), [
    { name: 'a', kind: 'api', restarts: 0, residentBytes: 7, cpuSeconds: 0 },
    { name: 'b', kind: 'api', restarts: 0, residentBytes: 7, cpuSeconds: 0 },
  ]);
  const pid = supervisor.pids().get('b')!;
  process.kill(pid, 'SIGSTOP');
  const asked = supervisor.measure();
  process.kill(pid, 'SIGKILL');
  t.deepEqual(
    (await asked).map(({ name }) => name),
    ['a'],
  );
  await eventOf('service-crashed', 'b');
  t.deepEqual(
    (await supervisor.measure()).map(({ name }) => name),
    ['a'],
  );
  t.false(isRunning(pid));
});
