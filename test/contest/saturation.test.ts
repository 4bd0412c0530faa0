// The search for the highest rate, on services that exist only as rules, and on a real one.
import test from 'ava';
import { judge, loadGenerator, saturate, searchRate } from '#espora/contest/saturation.js';
import type { SaturationStep, SearchOptions } from '#espora/contest/saturation.js';
import { EsporaError } from '#espora/errors.js';
import { whereToolsBuild } from '../crash/disks.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';
import { referenceServer } from './reference-server.js';

const options: SearchOptions = { firstRate: 100, factor: 2, lastRate: 10_000, precision: 0.05 };

function step(rate: number, held: boolean, answered = rate): SaturationStep {
  const figures = { errors: 0, waiting: 0, p50Ms: 1, p99Ms: 2, maxMs: 3, generatorCpuPercent: 4 };
  return { rate, answered, held, ...figures };
}

/** A service that stands `most` arrivals a second. */
function standing(most: number): (rate: number) => Promise<SaturationStep> {
  return (rate) => Promise.resolve(step(rate, rate <= most));
}

for (const most of [100, 101, 777, 3200, 9999]) {
  test(`finds ${most} to within a twentieth`, async (t) => {
    const { heldRate, steps } = await searchRate(standing(most), options);
    t.true(heldRate <= most && heldRate * 1.06 >= most, `${heldRate}`);
    t.true(steps.every(({ rate, held }) => held === rate <= most));
  });
}

test('a service that does not stand the first rate holds nothing', async (t) => {
  t.is((await searchRate(standing(50), options)).heldRate, 0);
});

test('a service that stands the last rate is not searched further', async (t) => {
  const { heldRate, steps } = await searchRate(standing(1e9), options);
  t.is(heldRate, 10_000);
  t.is(steps.length, 8);
});

test('one bad moment does not end the search: a rate gets a second try', async (t) => {
  let first = true;
  const { heldRate } = await searchRate((rate) => {
    const held = rate <= 1000 && !(rate === 400 && first);
    if (rate === 400) first = false;
    return Promise.resolve(step(rate, held));
  }, options);
  t.true(heldRate > 900);
});

test('a rate far beyond what is answered gets no second try', async (t) => {
  const { steps } = await searchRate(
    (rate) => Promise.resolve(step(rate, rate <= 100, Math.min(rate, 90))),
    { ...options, precision: 10 },
  );
  t.deepEqual(
    steps.map(({ rate }) => rate),
    [100, 200],
  );
});

const report = {
  requests_per_second: 1000,
  errors: 0,
  unanswered: 0,
  p50_ms: 1,
  p99_ms: 9.9,
  max_ms: 30,
  own_cpu_seconds: 0.5,
};

test('held: no error, the 99th percentile in time, as many answers as arrivals', (t) => {
  t.true(judge(1000, 5, report).held);
  t.is(judge(1000, 5, report).generatorCpuPercent, 10);
  t.false(judge(1000, 5, { ...report, errors: 1 }).held);
  t.false(judge(1000, 5, { ...report, p99_ms: 10.1 }).held);
  t.false(judge(2000, 5, report).held);
});

test('an installed package has no load generator, and says so', async (t) => {
  const error = await t.throwsAsync(loadGenerator(temporaryDirectory(t)));
  t.true(error instanceof EsporaError);
  t.regex(error.message, /only in the source code.*run it in a checkout/);
});

whereToolsBuild('saturation.test.ts')(
  'a real service, as far as a small search goes',
  async (t) => {
    const { port } = await referenceServer(t);
    const seen: SaturationStep[] = [];
    const found = await saturate({
      generator: await loadGenerator(),
      target: `127.0.0.1:${port}`,
      seconds: 1,
      search: { firstRate: 20, factor: 2, lastRate: 20, precision: 1 },
      onStep: (one) => seen.push(one),
    });
    t.deepEqual(found.steps, seen);
    t.is(seen[0]!.rate, 20);
    t.true(seen[0]!.answered > 0);
    t.is(seen[0]!.errors, 0);
  },
);
