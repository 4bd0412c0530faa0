// The supervisor against services that misbehave: order, readiness, crashes, refusals to end.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { until } from '#espora/lab/until.js';
import { Supervisor } from '#espora/supervisor/supervisor.js';
import type { SupervisorEvent, SupervisorOptions } from '#espora/supervisor/supervisor.js';
import type { ServicePlan } from '#espora/topology/topology.js';
import { halt, isRunning, resume, statOf } from '../helpers/process.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

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
  const before = performance.now();
  await supervisor.start();
  t.deepEqual(log(), ['a born', 'a ready', 'b born', 'b ready', 'c born', 'c ready']);
  const ready = events.at(-1);
  t.true(ready?.event === 'ready' && ready.elapsedMs <= performance.now() - before);
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

test('a crash after a calm time waits as the first one did', async (t) => {
  const { supervisor, events } = stage(
    t,
    { a: '' },
    { backOff: { firstMs: 1, maxMs: 8, calmMs: 1 } },
  );
  const all = (name: SupervisorEvent['event']) => events.filter(({ event }) => event === name);
  await supervisor.start();
  for (let life = 1; life <= 3; life++) {
    await until('it is ready', () => all('service-ready').length === life);
    await sleep(10);
    process.kill(supervisor.pids().get('a')!, 'SIGKILL');
    await until('it crashed', () => all('service-crashed').length === life);
  }
  t.deepEqual(
    all('service-crashed').map((event) => 'restartInMs' in event && event.restartInMs),
    [1, 1, 1],
  );
});

// It was ready for a calm time once: that counts for the crash which ended it, and for no other.
test('a service that cannot start again, but may later, is tried again, less and less', async (t) => {
  const { supervisor, events } = stage(
    t,
    { a: 'later-fail-1' },
    { backOff: { firstMs: 1, maxMs: 8, calmMs: 1 } },
  );
  await supervisor.start();
  await sleep(10);
  process.kill(supervisor.pids().get('a')!, 'SIGKILL');
  const crashes = await until('it failed often', () => {
    const all = events.filter((event) => event.event === 'service-crashed');
    return all.length >= 5 && all.slice(0, 5);
  });
  t.deepEqual(
    crashes.map(({ reason, restartInMs }) => [reason, restartInMs]),
    [
      ['was killed by SIGKILL', 1],
      ['did not start: the reason', 2],
      ['did not start: the reason', 4],
      ['did not start: the reason', 8],
      ['did not start: the reason', 8],
    ],
  );
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

// The timers of one process come in the order of their times: one that was not cancelled has come
// when a later one of ours has.
for (const [when, behaviour] of [
  ['while others end', 'deaf'],
  ['after all have ended', ''],
] as const) {
  test(`a service that waits for its restart is not started by a stop, nor ${when}`, async (t) => {
    const restartMs = 200;
    const { supervisor, events, eventOf, log } = stage(
      t,
      { a: '', b: behaviour },
      {
        backOff: { firstMs: restartMs, maxMs: restartMs, calmMs: 60_000 },
        drainMs: 0,
        stopGraceMs: restartMs + 100,
      },
    );
    await supervisor.start();
    process.kill(supervisor.pids().get('a')!, 'SIGKILL');
    t.is((await eventOf('service-crashed')).restartInMs, restartMs);
    await supervisor.stop();
    t.is((await eventOf('service-stopped', 'b')).killed, behaviour === 'deaf');
    await sleep(behaviour === 'deaf' ? 0 : restartMs + 100);
    // A process that was started would be there, whether or not it has come to its first line.
    t.deepEqual([...supervisor.pids()], []);
    t.is(log().filter((line) => line === 'a born').length, 1);
    t.is(events.at(-1)?.event, 'stopped');
  });
}

test('a stop from within the news of a crash leaves nothing that comes back', async (t) => {
  const { supervisor, events, log } = stage(t, { a: '' }, { backOff: quick });
  events.push = (...added) => {
    for (const event of added) if (event.event === 'service-crashed') void supervisor.stop();
    return Array.prototype.push.apply(events, added);
  };
  await supervisor.start();
  process.kill(supervisor.pids().get('a')!, 'SIGKILL');
  await supervisor.ended;
  await sleep(100);
  t.deepEqual([...supervisor.pids()], []);
  t.is(log().filter((line) => line === 'a born').length, 1);
});

test('a service that does not end is killed after its time', async (t) => {
  const { supervisor, eventOf, log } = stage(t, { a: 'deaf' }, { drainMs: 0, stopGraceMs: 10 });
  await supervisor.start();
  await supervisor.stop();
  t.true((await eventOf('service-stopped', 'a')).killed);
  t.false(log().includes('a orphaned'));
});

// With ten minutes to drain: a service that gets that time again would outlast the test.
for (const behaviours of [
  { a: '', b: 'deaf' },
  { a: 'deaf', b: 'deaf', c: 'deaf' },
  { a: 'deaf', b: '', c: 'deaf' },
] as const) {
  const name = Object.values(behaviours).map((each) => each || 'obedient');
  test(`a stop at once kills what does not end, whatever its turn: ${name.join(', ')}`, async (t) => {
    const { supervisor, events, log } = stage(t, behaviours, { drainMs: 600_000 });
    await supervisor.start();
    const last = Object.keys(behaviours).at(-1)!;
    const stopped = supervisor.stop();
    await until('the last was asked', () => log().includes(`${last} term`));
    // More than one wish to be quick is no more time.
    void supervisor.stopAtOnce();
    await supervisor.stopAtOnce();
    await stopped;
    const ends = events.filter((event) => event.event === 'service-stopped');
    t.deepEqual(
      Object.fromEntries(ends.map(({ service, killed }) => [service, killed])),
      Object.fromEntries(Object.entries(behaviours).map(([each, how]) => [each, how === 'deaf'])),
    );
    t.is(events.filter(({ event }) => event === 'stopping-at-once').length, 1);
    t.is(events.at(-1)?.event, 'stopped');
  });
}

test('a stop at once after the end says nothing more', async (t) => {
  const { supervisor, events } = stage(t, { a: '' });
  await supervisor.start();
  await supervisor.stop();
  await supervisor.stopAtOnce();
  t.is(events.at(-1)?.event, 'stopped');
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

test('every service is measured, and one that does not answer in time, or is dead, is not up', async (t) => {
  const { supervisor, eventOf } = stage(
    t,
    { a: '', b: '' },
    { backOff: { firstMs: 60_000, maxMs: 60_000, calmMs: 60_000 } },
  );
  await supervisor.start();
  t.deepEqual(await supervisor.measure(), [
    { name: 'a', kind: 'api', restarts: 0, up: true, residentBytes: 7, cpuSeconds: 0 },
    { name: 'b', kind: 'api', restarts: 0, up: true, residentBytes: 7, cpuSeconds: 0 },
  ]);
  const pid = supervisor.pids().get('b')!;
  await halt(t, pid);
  const up = async (): Promise<(readonly [string, boolean])[]> =>
    (await supervisor.measure()).map((one) => [one.name, one.up] as const);
  // One that is stopped never answers by itself. Whoever asks meanwhile waits no longer, either.
  t.deepEqual(await Promise.all([up(), up()]), [
    [
      ['a', true],
      ['b', false],
    ],
    [
      ['a', true],
      ['b', false],
    ],
  ]);
  resume(pid);
  await until('it answers again', async () => (await up())[1]![1]);
  await halt(t, pid);
  const asked = up();
  process.kill(pid, 'SIGKILL');
  t.deepEqual((await asked)[1], ['b', false]);
  await eventOf('service-crashed', 'b');
  t.deepEqual((await up())[1], ['b', false]);
  t.false(isRunning(pid));
});
