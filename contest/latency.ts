// A histogram of times: exact to the microsecond for short ones, to a thousandth of the value for others.
import { build } from 'hdr-histogram-js';
import type { Histogram } from 'hdr-histogram-js';

/** Milliseconds; all 0 if nothing was recorded. */
export interface Percentiles {
  readonly p50: number;
  readonly p75: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

const longestUs = 600_000_000;

function ms(us: number): number {
  return us / 1000;
}

export class LatencyHistogram {
  readonly #histogram: Histogram = build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: longestUs,
    numberOfSignificantValueDigits: 3,
  });
  #maxUs = 0;

  get count(): number {
    return this.#histogram.totalCount;
  }

  record(milliseconds: number): void {
    const us = Math.min(longestUs, Math.max(0, Math.round(milliseconds * 1000)));
    this.#histogram.recordValue(us);
    if (us > this.#maxUs) this.#maxUs = us;
  }

  /** The value that `percent` of the recorded values do not exceed. */
  at(percent: number): number {
    if (this.count === 0) return 0;
    // The histogram rounds up within its precision; the result must not exceed the largest value.
    return ms(Math.min(this.#maxUs, this.#histogram.getValueAtPercentile(percent)));
  }

  percentiles(): Percentiles {
    return {
      p50: this.at(50),
      p75: this.at(75),
      p95: this.at(95),
      p99: this.at(99),
      p999: this.at(99.9),
      max: ms(this.#maxUs),
    };
  }

  /** Adds the values of `other`. */
  add(other: LatencyHistogram): void {
    this.#histogram.add(other.#histogram);
    this.#maxUs = Math.max(this.#maxUs, other.#maxUs);
  }

  reset(): void {
    this.#histogram.reset();
    this.#maxUs = 0;
  }
}
