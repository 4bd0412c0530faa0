// What is the same for every service: what it makes of the addon's events, and of a stop. The addon's object
// is a script here, so that every event comes, in every order.
import test from 'ava';
import { EsporaError } from '#espora/errors.js';
import { inheritedDescriptors, Service } from '#espora/services/service.js';
import type { NativeService, Started } from '#espora/services/service.js';
import { readUpdate } from '#espora/services/balancer.js';
import { readUpstream } from '#espora/services/forwarder.js';

type OnEvent = Parameters<NativeService<Started, object>['start']>[0];

class Scripted extends Service<'balancer', Started, object> {
  readonly calls: string[];
  readonly native: { onEvent: OnEvent; accept: () => void; stop: () => Promise<void> };

  constructor() {
    const calls: string[] = [];
    const native = {
      onEvent: (() => undefined) as OnEvent,
      accept: (): void => undefined,
      stop: (): Promise<void> => Promise.resolve(),
    };
    super('balancer', { unixSocket: '/none.sock', upstreams: ['/a'] }, () => ({
      start: (onEvent) => {
        calls.push('start');
        native.onEvent = onEvent;
        return new Promise((resolve) => {
          native.accept = () => {
            calls.push('accepts');
            resolve({ addresses: [] });
          };
        });
      },
      stop: (drainMs) => {
        calls.push(`stop ${drainMs}`);
        return native.stop();
      },
      stats: () => ({}),
      settings: () => ({}),
    }));
    this.calls = calls;
    this.native = native;
  }
}

/** What the events of a service tell when the addon tells one. */
function heardOf(...event: Parameters<OnEvent>): unknown[] {
  const service = new Scripted();
  void service.start();
  const heard: unknown[] = [];
  for (const kind of ['notice', 'warning', 'failed'] as const) {
    service.on(kind, (message) => heard.push([kind, message]));
  }
  service.on('upstream', (change) => heard.push(change));
  service.native.onEvent(...event);
  return heard;
}

for (const [name, detail, ...said] of [
  ['warning', { message: 'm' }, 'warning', 'm'],
  ['failed', { message: 'm' }, 'failed', 'm'],
  ['upstream-unreachable', { upstream: 'u', message: 'm' }, 'warning', 'u cannot be reached: m'],
  ['upstream-reachable', { upstream: 'u' }, 'notice', 'u can be reached again'],
  ['accept-paused', { message: 'm' }, 'warning', 'new connections must wait: m'],
  ['something new', { message: 'm' }],
] as const) {
  test(`of the event ${name} is said: ${said.join(' ')}`, (t) => {
    t.deepEqual(heardOf(name, detail), said.length === 0 ? [] : [said]);
  });
}

for (const [state, health, ...said] of [
  ['down', 'fit', 'notice', 'u is down: m'],
  ['draining', 'ejected', 'notice', 'u is draining: m'],
  ['up', 'ejected', 'warning', 'u is ejected: m'],
  ['up', 'failed', 'warning', 'u is out of use: m'],
  ['up', 'probation', 'notice', 'u is in use again, on probation: m'],
  ['up', 'fit', 'notice', 'u is in use: m'],
  ['up', 'unresolved'],
] as const) {
  test(`of an upstream that is ${state} and ${health} is said: ${said.join(' ')}`, (t) => {
    const heard = heardOf('upstream', { upstream: 'u', state, health, message: 'm' });
    const change = { address: 'u', state, health, reason: 'm' };
    t.deepEqual(heard, said.length === 0 ? [change] : [change, said]);
  });
}

test('a stop gives open connections five seconds, or what it says', async (t) => {
  for (const [drain, ms] of [
    [undefined, 5000],
    [0, 0],
    [1500, 1500],
    ['10m', 600_000],
  ] as const) {
    const service = new Scripted();
    const started = service.start();
    service.native.accept();
    await started;
    await service.stop(drain === undefined ? {} : { drain });
    t.is(service.calls.at(-1), `stop ${ms}`);
  }
});

test('a stop that fails says so, and the service is stopped', async (t) => {
  const service = new Scripted();
  const started = service.start();
  service.native.accept();
  await started;
  const failed = Object.assign(new Error('why'), { code: 'ERR_ESPORA_FAILED' });
  service.native.stop = () => Promise.reject(failed);
  await t.throwsAsync(service.stop(), { instanceOf: EsporaError, message: 'why' });
  await service.stop();
  t.is(service.stats(), undefined);
});

test('a stop while it starts waits for that, and ends it then', async (t) => {
  const service = new Scripted();
  const started = service.start();
  const stopped = service.stop();
  setImmediate(() => {
    service.native.accept();
  });
  await stopped;
  await started;
  t.deepEqual(service.calls, ['start', 'accepts', 'stop 5000']);
  t.is(service.stats(), undefined);
});

test('inherited descriptors are those behind standard error', (t) => {
  t.deepEqual(inheritedDescriptors(0), []);
  t.deepEqual(inheritedDescriptors(3), [3, 4, 5]);
});

test('what changes of an upstream is checked, and what is wrong is named', (t) => {
  for (const right of [
    { state: 'up' },
    { state: 'draining' },
    { state: 'down' },
    { weight: 1 },
    { weight: 1000 },
    { state: 'up', weight: 3 },
  ] as const) {
    t.deepEqual(readUpdate(right), right);
  }
  for (const [wrong, message] of [
    [null, /must be an object/],
    ['down', /must be an object/],
    [{}, /nothing to change/],
    [{ wieght: 1 }, /no wieght that could be set/],
    [{ state: 'up', wieght: 1 }, /no wieght that could be set/],
    [{ state: 'gone' }, /state is "gone"/],
    [{ weight: 0 }, /weight is 0/],
    [{ weight: 1001 }, /weight is 1001/],
    [{ weight: 1.5 }, /weight is 1\.5/],
  ] as const) {
    t.throws(() => readUpdate(wrong as never), { code: 'ERR_ESPORA_INVALID', message });
  }
});

test('an upstream is an address, or an object with a string and a number', (t) => {
  t.deepEqual(readUpstream('/a weight=2'), { address: '/a', weight: 2 });
  t.deepEqual(readUpstream({ address: '/a' }), { address: '/a', weight: 1 });
  t.deepEqual(readUpstream({ address: 'b:1', weight: 3 }), { address: 'b:1', weight: 3 });
  const notOne = /must be an address, or \{ address, weight \} with a string and a number$/;
  for (const wrong of [
    undefined,
    null,
    {},
    { address: 5 },
    { weight: 2 },
    ...['3', true, 3n, Symbol('3'), {}, () => 3].map((weight) => ({ address: '/a', weight })),
  ]) {
    t.throws(() => readUpstream(wrong as never), { code: 'ERR_ESPORA_INVALID', message: notOne });
  }
  for (const weight of [0, 1001, 1.5, NaN]) {
    const message = /^the upstream is "\/a weight=.+": a weight must be a whole number from 1 to/;
    t.throws(() => readUpstream({ address: '/a', weight }), {
      code: 'ERR_ESPORA_INVALID',
      message,
    });
  }
});
