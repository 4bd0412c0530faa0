// The run as one row per second: its answers, their latencies, and the figures of the samplers.
import type { Sampler } from './samplers.js';

export interface TimelineRow {
  /** End of the row, in milliseconds after the run began. */
  readonly atMs: number;
  readonly phase: string;
  readonly requests: number;
  readonly failures: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Figures of each sampler, by its name. */
  readonly samples: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** The value that `share` (0 to 1) of the sorted values do not exceed; 0 if there are none. */
function at(sorted: Float64Array, share: number): number {
  const index = Math.max(0, Math.ceil(sorted.length * share) - 1);
  return Math.round((sorted[index] ?? 0) * 1000) / 1000;
}

export class Timeline {
  readonly #samplers: readonly Sampler[];
  readonly #rows: TimelineRow[] = [];
  #latencies = new Float64Array(1024);
  #requests = 0;
  #failures = 0;

  constructor(samplers: readonly Sampler[]) {
    this.#samplers = samplers;
    for (const sampler of samplers) sampler.sample();
  }

  record(latencyMs: number, failed: boolean): void {
    if (this.#requests === this.#latencies.length) {
      const larger = new Float64Array(this.#latencies.length * 2);
      larger.set(this.#latencies);
      this.#latencies = larger;
    }
    this.#latencies[this.#requests++] = latencyMs;
    if (failed) this.#failures++;
  }

  /** Ends a row. */
  tick(atMs: number, phase: string): void {
    const sorted = this.#latencies.subarray(0, this.#requests).sort();
    this.#rows.push({
      atMs: Math.round(atMs),
      phase,
      requests: this.#requests,
      failures: this.#failures,
      latencyMs: { p50: at(sorted, 0.5), p99: at(sorted, 0.99), max: at(sorted, 1) },
      samples: Object.fromEntries(
        this.#samplers.map((sampler) => [sampler.name, sampler.sample()]),
      ),
    });
    this.#requests = 0;
    this.#failures = 0;
  }

  rows(): readonly TimelineRow[] {
    return this.#rows;
  }
}
