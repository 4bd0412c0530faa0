import test from 'ava';
import fc from 'fast-check';
import { contestPlan, quick, requestsOf, requestsOfPhase } from '#espora/contest/plan.js';
import type { LoadPhase } from '#espora/contest/plan.js';
import { arrivalsOf, instantsOf, piecesOf, spread, usersOf } from '#espora/contest/schedule.js';

function loadOf(options = {}): LoadPhase {
  return contestPlan(options).phases.find((phase) => phase.kind === 'load')!;
}

test('the whole contest is 61,503 requests, by operation as the contest reports them', (t) => {
  const plan = contestPlan();
  t.is(requestsOf(plan), 61_503);
  const byStream = loadOf().streams.map(({ operation, steps }) => [operation, usersOf(steps)]);
  t.deepEqual(byStream, [
    ['debit', 39_660],
    ['credit', 19_860],
    ['statement', 1860],
  ]);
  const validations = plan.phases.filter(({ kind }) => kind !== 'load');
  t.is(
    validations.reduce((sum, phase) => sum + requestsOfPhase(phase, plan.accounts), 0),
    123,
  );
});

test('as many users arrive as are counted: 61,380 in the load of the whole contest', (t) => {
  const { streams } = loadOf();
  const { atMs, stream } = arrivalsOf(streams);
  t.is(atMs.length, 61_380);
  t.is(stream.length, 61_380);
  for (const [index, { steps }] of streams.entries()) {
    t.is(stream.filter((of) => of === index).length, usersOf(steps));
  }
});

test('the quick contest has the same peak rates for 15 s', (t) => {
  const { streams } = loadOf(quick);
  const { atMs } = arrivalsOf(streams);
  t.is(requestsOf(contestPlan(quick)), 123 + atMs.length);
  t.is(atMs.length, 1657 + 832 + 82 + (220 + 110 + 10) * 15);
  for (let second = 15; second < 30; second++) {
    const here = atMs.filter((at) => at >= second * 1000 && at < (second + 1) * 1000);
    t.is(here.length, 340);
  }
  t.true(atMs.at(-1)! < 30_000);
});

test('after each second of the ramp whole users of the integral of the rate have arrived', (t) => {
  // The integral of a rate from 1 to 220 in 120 s, in 240ths of a user, so that it is exact.
  const instants = instantsOf([{ fromPerSecond: 1, toPerSecond: 220, seconds: 120 }]);
  for (let second = 1; second <= 120; second++) {
    const arrived = instants.filter((at) => at < second * 1000).length;
    t.is(arrived, Math.floor((240 * second + 219 * second * second) / 240), `second ${second}`);
  }
});

test('users of a second come one in so many milliseconds, the rest of it is empty', (t) => {
  t.deepEqual(
    spread(220),
    Array.from({ length: 220 }, (_, user) => user * 4),
  );
  t.deepEqual(
    spread(110),
    Array.from({ length: 110 }, (_, user) => user * 9),
  );
  t.deepEqual(spread(10), [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
  t.deepEqual(spread(1), [0]);
  t.deepEqual(spread(0), []);
});

test('more users than milliseconds: each millisecond has as many, or one more', (t) => {
  t.deepEqual(
    spread(1000),
    Array.from({ length: 1000 }, (_, at) => at),
  );
  t.deepEqual(spread(500).slice(0, 4), [0, 2, 4, 6]);
  // 999: all but the last.
  t.is(spread(999).at(-1), 998);
  t.deepEqual(spread(2001).slice(0, 4), [0, 0, 0, 1]);
  // 750 in 1000: three of four have one.
  t.deepEqual(spread(750).slice(0, 6), [0, 1, 2, 4, 5, 6]);
});

test('spread keeps the number of users, the order, and the difference of one', (t) => {
  fc.assert(
    fc.property(fc.nat(5000), fc.integer({ min: 1, max: 1000 }), (users, milliseconds) => {
      const at = spread(users, milliseconds);
      const perMillisecond = new Array<number>(milliseconds).fill(0);
      for (const millisecond of at) perMillisecond[millisecond]!++;
      return (
        at.length === users &&
        at.every((value, index) => index === 0 || value >= at[index - 1]!) &&
        Math.max(...perMillisecond) - Math.min(...perMillisecond) <= 1
      );
    }),
  );
  t.pass();
});

test('instants of any steps: all users, in order, within the steps', (t) => {
  const step = fc.record({
    fromPerSecond: fc.nat(300),
    toPerSecond: fc.nat(300),
    seconds: fc.nat(40).map((tenths) => tenths / 10),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 4 }), (steps) => {
      const instants = instantsOf(steps);
      const durationMs = steps.reduce((sum, { seconds }) => sum + seconds * 1000, 0);
      return (
        instants.length === usersOf(steps) &&
        instants.every((at, index) => index === 0 || at >= instants[index - 1]!) &&
        instants.every((at) => at >= 0 && at < durationMs + 1)
      );
    }),
  );
  t.pass();
});

test('arrivals of several streams are in order, those of one instant in order of their streams', (t) => {
  const steady = (rate: number) => ({
    steps: [{ fromPerSecond: rate, toPerSecond: rate, seconds: 1 }],
  });
  const { atMs, stream } = arrivalsOf([steady(10), steady(20)]);
  t.deepEqual([...atMs.slice(0, 4)], [0, 0, 50, 100]);
  t.deepEqual([...stream.slice(0, 4)], [0, 1, 1, 0]);
  t.is(atMs.length, 30);
  t.true(atMs.every((at, index) => index === 0 || at >= atMs[index - 1]!));
});

test('the pieces of a load have the same arrivals at the same distances', (t) => {
  const { streams } = loadOf();
  const whole = arrivalsOf(streams);
  const pieces = piecesOf(whole, 10_000);
  t.is(pieces.length, 24);
  t.deepEqual(
    pieces.flatMap(({ atMs }, piece) => [...atMs].map((at) => at + piece * 10_000)),
    [...whole.atMs],
  );
  t.deepEqual(
    pieces.flatMap(({ stream }) => [...stream]),
    [...whole.stream],
  );
  t.true(pieces.every(({ atMs }) => atMs[0]! >= 0 && atMs.at(-1)! < 10_000));
});

test('a piece in which nobody comes is left out', (t) => {
  const atMs = Float64Array.from([5, 2500, 2501]);
  const pieces = piecesOf({ atMs, stream: Uint8Array.from([0, 1, 0]) }, 1000);
  t.deepEqual(
    pieces.map((piece) => [[...piece.atMs], [...piece.stream]]),
    [
      [[5], [0]],
      [
        [500, 501],
        [1, 0],
      ],
    ],
  );
});
