import test from 'ava';
import { prizeOf } from '#espora/contest/score.js';

const none = { slowFineUsd: 0, inconsistencyFineUsd: 0 };

test('98 % in time and nothing inconsistent is worth the whole contract', (t) => {
  t.deepEqual(prizeOf(100, 0), { usd: 100_000, ...none });
  t.deepEqual(prizeOf(98, 0), { usd: 100_000, ...none });
});

test('each percent below 98 costs 1000, in parts', (t) => {
  t.deepEqual(prizeOf(97, 0), { usd: 99_000, slowFineUsd: 1000, inconsistencyFineUsd: 0 });
  t.deepEqual(prizeOf(97.995, 0).slowFineUsd, 5);
  t.is(prizeOf(0, 0).usd, 2000);
});

test('each inconsistency costs 803.01', (t) => {
  t.deepEqual(prizeOf(100, 1), { usd: 99_196.99, slowFineUsd: 0, inconsistencyFineUsd: 803.01 });
  t.is(prizeOf(100, 3).inconsistencyFineUsd, 2409.03);
});

test('both fines add up, and can pass the contract', (t) => {
  t.is(prizeOf(95, 2).usd, 100_000 - 3000 - 1606.02);
  t.is(prizeOf(0, 200).usd, 100_000 - 98_000 - 160_602);
});
