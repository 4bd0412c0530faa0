// What the services behind a run use and do while it is played: CPU, memory and throttling of each
// against its limit, and the database's commits.
import type { GroupUsage } from '#espora/lab/control-groups.js';
import type { AskDatabase } from '#espora/lab/subject.js';
import type { NativeDatabaseStats } from '#espora/native.js';
import type { ResourceLimits } from '#espora/topology/topology.js';
import type { Sampler } from './samplers.js';

/** One service over the whole run. */
export interface ServiceFigures {
  readonly name: string;
  readonly limits: ResourceLimits;
  readonly cpuSeconds: number;
  /** Of its limit, on average and in its busiest second. */
  readonly cpuPercentOfLimit: number;
  readonly cpuPercentOfLimitMax: number;
  /** Periods of the CPU limit in which it ran, and those of them in which it was held up. */
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledPercent: number;
  readonly memoryPeakBytes: number;
  readonly memoryPercentOfLimit: number;
}

const megabyte = 2 ** 20;

function percent(part: number, whole: number): number {
  return whole > 0 ? Math.round((10_000 * part) / whole) / 100 : 0;
}

/** Looks at one service; while its process is gone (a restart) it reports what was there before. */
export class ServiceSampler implements Sampler {
  readonly name: string;
  readonly #limits: ResourceLimits;
  readonly #read: () => GroupUsage;
  #first: GroupUsage | undefined;
  #last: GroupUsage = {
    cpuSeconds: 0,
    periods: 0,
    throttledPeriods: 0,
    throttledSeconds: 0,
    memoryBytes: 0,
  };
  #firstAt = 0;
  #lastAt = 0;
  #cpuMax = 0;
  #memoryMax = 0;

  constructor(name: string, limits: ResourceLimits, read: () => GroupUsage) {
    this.name = name;
    this.#limits = limits;
    this.#read = read;
  }

  sample(): Readonly<Record<string, number>> {
    const before = this.#last;
    const at = performance.now();
    const elapsedMs = at - this.#lastAt;
    let now = before;
    try {
      now = this.#read();
    } catch {
      // Between two lives of its container there is nothing to read.
    }
    const isFirst = this.#first === undefined;
    if (isFirst) {
      this.#first = now;
      this.#firstAt = at;
    }
    this.#last = now;
    this.#lastAt = at;
    this.#memoryMax = Math.max(this.#memoryMax, now.memoryBytes);
    const cpu = isFirst ? 0 : (now.cpuSeconds - before.cpuSeconds) / (elapsedMs / 1000);
    const cpuPercentOfLimit = percent(cpu, this.#limits.cpus);
    // A row cut short at the end of a run says nothing about a busiest second.
    if (elapsedMs > 500) this.#cpuMax = Math.max(this.#cpuMax, cpuPercentOfLimit);
    return {
      cpuPercentOfLimit,
      memoryBytes: now.memoryBytes,
      periods: isFirst ? 0 : now.periods - before.periods,
      throttledPeriods: isFirst ? 0 : now.throttledPeriods - before.throttledPeriods,
    };
  }

  /** From the first sample to the last. */
  figures(): ServiceFigures {
    const first = this.#first ?? this.#last;
    const last = this.#last;
    const elapsedSeconds = (this.#lastAt - this.#firstAt) / 1000;
    const cpuSeconds = last.cpuSeconds - first.cpuSeconds;
    const periods = last.periods - first.periods;
    const throttledPeriods = last.throttledPeriods - first.throttledPeriods;
    return {
      name: this.name,
      limits: this.#limits,
      cpuSeconds: Math.round(cpuSeconds * 1000) / 1000,
      cpuPercentOfLimit: percent(cpuSeconds, elapsedSeconds * this.#limits.cpus),
      cpuPercentOfLimitMax: this.#cpuMax,
      periods,
      throttledPeriods,
      throttledPercent: percent(throttledPeriods, periods),
      memoryPeakBytes: this.#memoryMax,
      memoryPercentOfLimit: percent(this.#memoryMax, this.#limits.memoryMegabytes * megabyte),
    };
  }
}

/** The database's commits over the whole run. */
export interface CommitFigures {
  readonly commits: number;
  readonly flushes: number;
  readonly transactions: number;
  readonly bytesWritten: number;
  /** Write and flush of a batch. */
  readonly meanMs: number;
  /** Transactions in a batch. */
  readonly batchMean: number;
}

type Counters = Pick<
  NativeDatabaseStats,
  'commits' | 'commitNs' | 'flushes' | 'transactions' | 'bytesWritten'
>;

const noCounters: Counters = {
  commits: 0,
  commitNs: 0,
  flushes: 0,
  transactions: 0,
  bytesWritten: 0,
};
// Just before the row of that second. More often would show in what is measured: each answer is made by
// JavaScript in the database's container.
const askAfterMs = 800;

/** Follows the database's counters: they are asked for beside the run, and a row takes the latest. */
export class CommitSampler implements Sampler {
  readonly name = 'commits';
  readonly #ask: AskDatabase;
  #timer: NodeJS.Timeout | undefined;
  #asking = false;
  #latest = noCounters;
  #reported: Counters | undefined;
  #first: Counters | undefined;

  constructor(ask: AskDatabase) {
    this.#ask = ask;
  }

  /** Asks now; never rejects. */
  async refresh(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      const stats = await this.#ask();
      const { commits, commitNs, flushes, transactions, bytesWritten } = {
        ...noCounters,
        ...stats,
      };
      // One that was started anew counts from 0 again: nothing to compare with.
      if (stats !== undefined && commits >= this.#latest.commits) {
        this.#latest = { commits, commitNs, flushes, transactions, bytesWritten };
      }
    } catch {
      // It is being started again, or ends.
    } finally {
      this.#asking = false;
    }
  }

  sample(): Readonly<Record<string, number>> {
    const before = this.#reported ?? this.#latest;
    this.#first ??= this.#latest;
    this.#reported = this.#latest;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.refresh(), askAfterMs).unref();
    const { commits, meanMs, batchMean } = between(before, this.#latest);
    return { commits, meanMs, batchMean };
  }

  figures(): CommitFigures {
    return between(this.#first ?? this.#latest, this.#latest);
  }

  /** Nothing is asked any more. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}

function between(from: Counters, to: Counters): CommitFigures {
  const commits = to.commits - from.commits;
  const transactions = to.transactions - from.transactions;
  const round = (value: number): number => Math.round(value * 1000) / 1000;
  return {
    commits,
    flushes: to.flushes - from.flushes,
    transactions,
    bytesWritten: to.bytesWritten - from.bytesWritten,
    meanMs: commits === 0 ? 0 : round((to.commitNs - from.commitNs) / commits / 1e6),
    batchMean: commits === 0 ? 0 : round(transactions / commits),
  };
}
