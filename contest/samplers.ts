// What is sampled once a second in addition to the answers, such as the player itself.
import { LatencyHistogram } from './latency.js';
import type { Percentiles } from './latency.js';

/** A source of figures that change over time. */
export interface Sampler {
  /** The name of its figures. */
  readonly name: string;
  /** The figures since the previous call; the first call is at the start of the run. */
  sample(): Readonly<Record<string, number>>;
}

/** The player's own figures, over the whole run. */
export interface PlayerFigures {
  /** CPU as a share of one core. */
  readonly cpuPercent: number;
  /** How late the load's users began, because of the player; this is part of their latency. */
  readonly latenessMs: Percentiles;
  /** From there until the connection was open. */
  readonly connectMs: Percentiles;
  /** From there until the whole answer was read. */
  readonly answerMs: Percentiles;
}

/** Measures the player: its CPU, and how late it is. */
export class PlayerSampler implements Sampler {
  readonly name = 'player';
  readonly #lateness = new LatencyHistogram();
  readonly #latenessNow = new LatencyHistogram();
  readonly #connect = new LatencyHistogram();
  readonly #answer = new LatencyHistogram();
  readonly #firstCpu = process.cpuUsage();
  readonly #firstAt = performance.now();
  #cpu = this.#firstCpu;
  #at = this.#firstAt;

  /** Counts a user of the load whose turn was at `intendedAt`. */
  record(intendedAt: number, startedAt: number, connectedAt: number, endedAt: number): void {
    this.#latenessNow.record(startedAt - intendedAt);
    if (Number.isNaN(connectedAt)) return;
    this.#connect.record(connectedAt - startedAt);
    this.#answer.record(endedAt - connectedAt);
  }

  sample(): Readonly<Record<string, number>> {
    const cpu = process.cpuUsage();
    const at = performance.now();
    const cpuPercent = percentOf(this.#cpu, cpu, at - this.#at);
    const { p99, max } = this.#latenessNow.percentiles();
    this.#cpu = cpu;
    this.#at = at;
    this.#keepLateness();
    return { cpuPercent, latenessP99Ms: p99, latenessMaxMs: max };
  }

  figures(): PlayerFigures {
    this.#keepLateness();
    const elapsedMs = performance.now() - this.#firstAt;
    return {
      cpuPercent: percentOf(this.#firstCpu, process.cpuUsage(), elapsedMs),
      latenessMs: this.#lateness.percentiles(),
      connectMs: this.#connect.percentiles(),
      answerMs: this.#answer.percentiles(),
    };
  }

  #keepLateness(): void {
    this.#lateness.add(this.#latenessNow);
    this.#latenessNow.reset();
  }
}

function percentOf(from: NodeJS.CpuUsage, to: NodeJS.CpuUsage, elapsedMs: number): number {
  const usedUs = to.user + to.system - from.user - from.system;
  return elapsedMs > 0 ? Math.round(usedUs / elapsedMs) / 10 : 0;
}
