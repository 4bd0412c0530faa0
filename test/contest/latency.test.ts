import test from 'ava';
import fc from 'fast-check';
import { LatencyHistogram } from '#espora/contest/latency.js';

/** The value of `sorted` that `percent` of them do not exceed, by definition. */
function exact(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)]!;
}

function histogramOf(milliseconds: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const value of milliseconds) histogram.record(value);
  return histogram;
}

test('without values all is 0', (t) => {
  t.deepEqual(new LatencyHistogram().percentiles(), {
    p50: 0,
    p75: 0,
    p95: 0,
    p99: 0,
    p999: 0,
    max: 0,
  });
});

test('percentiles of 1 to 1000 ms', (t) => {
  const { p50, p75, p95, p99, max } = histogramOf(
    Array.from({ length: 1000 }, (_, index) => index + 1),
  ).percentiles();
  for (const [value, expected] of [
    [p50, 500],
    [p75, 750],
    [p95, 950],
    [p99, 990],
  ] as const) {
    t.true(Math.abs(value - expected) <= expected / 1000, `${value} instead of ${expected}`);
  }
  t.is(max, 1000);
});

test('percentiles are those of the sorted values, to a thousandth', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 60_000_000 }), { minLength: 1, maxLength: 300 }),
      fc.constantFrom(50, 75, 95, 99, 99.9, 100),
      (microseconds, percent) => {
        const sorted = microseconds.map((us) => us / 1000).sort((a, b) => a - b);
        const expected = exact(sorted, percent);
        return Math.abs(histogramOf(sorted).at(percent) - expected) <= expected / 1000 + 0.001;
      },
    ),
  );
  t.pass();
});

test('no percentile passes the largest value', (t) => {
  const histogram = histogramOf([1234.567]);
  const { p50, p999, max } = histogram.percentiles();
  t.is(max, 1234.567);
  t.true(p50 <= max && p999 <= max);
});

test('a clock that went backwards counts as 0, an endless wait as ten minutes', (t) => {
  const histogram = histogramOf([-1, 1e9]);
  t.is(histogram.at(50), 0);
  t.is(histogram.percentiles().max, 600_000);
});

test('adding one to another is recording both', (t) => {
  const sum = histogramOf([1, 2, 3]);
  sum.add(histogramOf([100, 200]));
  t.is(sum.count, 5);
  t.is(sum.percentiles().max, 200);
  t.deepEqual(sum.percentiles(), histogramOf([1, 2, 3, 100, 200]).percentiles());
  sum.reset();
  t.is(sum.count, 0);
  t.is(sum.percentiles().max, 0);
});
