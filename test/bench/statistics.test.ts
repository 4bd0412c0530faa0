// Medians, ratios and turns: what every figure of the benchmarks goes through.

import test from 'ava';
import fc from 'fast-check';
import { figureOf, median, quantile, ratioOf, takeTurns } from '../../bench/lib/statistics.js';

test('the median of an odd number is the middle one, of an even one half way between two', (t) => {
  t.is(median([3]), 3);
  t.is(median([9, 1, 5]), 5);
  t.is(median([4, 1, 3, 2]), 2.5);
  t.true(Number.isNaN(median([])));
});

test('numbers are ordered as numbers', (t) => {
  t.is(median([100, 9, 20]), 20);
  t.is(median([-5, -40, 3]), -5);
});

test('quantiles lie on the line between the two nearest', (t) => {
  const values = [10, 20, 30, 40, 50];
  t.is(quantile(values, 0), 10);
  t.is(quantile(values, 1), 50);
  t.is(quantile(values, 0.25), 20);
  t.is(quantile(values, 0.9), 46);
});

test('what is measured is not reordered', (t) => {
  const values = [3, 1, 2];
  median(values);
  figureOf(values);
  t.deepEqual(values, [3, 1, 2]);
});

test('a median is in the range, whatever the order, and half of the values are on each side', (t) => {
  const values = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(values, (given) => {
      const { median: middle, min, max, rounds } = figureOf(given);
      t.is(rounds, given.length);
      t.true(min <= middle && middle <= max);
      t.is(figureOf([...given].reverse()).median, middle);
      const half = given.length / 2;
      t.true(given.filter((value) => value <= middle).length >= half);
      t.true(given.filter((value) => value >= middle).length >= half);
    }),
  );
  t.throws(() => figureOf([]), { instanceOf: RangeError });
});

test('ratios are taken round by round, so that a slow round of both changes nothing', (t) => {
  // The machine was ten times slower in the second round.
  t.deepEqual(ratioOf([2, 20, 2], [1, 10, 1]), { median: 2, min: 2, max: 2, rounds: 3 });
  t.deepEqual(ratioOf([1, 8], [2, 2]), { median: 2.25, min: 0.5, max: 4, rounds: 2 });
  t.throws(() => ratioOf([1, 2], [1]), { instanceOf: RangeError });
});

test('players take turns, never two at once', async (t) => {
  const order: string[] = [];
  let playing = 0;
  const player = (name: string) => async () => {
    t.is(++playing, 1);
    order.push(name);
    await new Promise(setImmediate);
    playing--;
    return `${name}${order.length}`;
  };
  const rounds = await takeTurns([player('A'), player('B'), player('C')], 3);
  t.is(order.join(''), 'ABCABCABC');
  t.deepEqual(rounds, [
    ['A1', 'A4', 'A7'],
    ['B2', 'B5', 'B8'],
    ['C3', 'C6', 'C9'],
  ]);
});

test('a player that fails ends the game', async (t) => {
  let played = 0;
  const game = takeTurns(
    [
      () => ++played,
      () => {
        throw new Error('gave up');
      },
    ],
    5,
  );
  await t.throwsAsync(game, { message: 'gave up' });
  t.is(played, 1);
});
