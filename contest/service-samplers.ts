// What the services use during a run: CPU, memory and throttling of each in relation to its limit, and the
// database's commits.
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
  /** CPU as a share of its limit, on average and in its busiest second. */
  readonly cpuPercentOfLimit: number;
  readonly cpuPercentOfLimitMax: number;
  /** Periods of the CPU limit in which it ran, and those in which it was throttled. */
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

/** Samples one service; during a restart of its process it reports the last figures. */
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
      // While its container restarts there is nothing to read.
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
    // A short row at the end of a run is not a second.
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
  /** Duration of the write and flush of a batch. */
  readonly meanMs: number;
  /** Transactions per batch. */
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
// Just before the row of that second. Asking more often would affect the measurement: JavaScript in the
// database's container makes each answer.
const askAfterMs = 800;

/** Samples the database's counters, which are requested during the run; a row takes the latest. */
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

  /** Requests the counters; never rejects. */
  async refresh(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      const stats = await this.#ask();
      const { commits, commitNs, flushes, transactions, bytesWritten } = {
        ...noCounters,
        ...stats,
      };
      // After a restart it counts from 0 again, so there is nothing to compare with.
      if (stats !== undefined && commits >= this.#latest.commits) {
        this.#latest = { commits, commitNs, flushes, transactions, bytesWritten };
      }
    } catch {
      // It restarts or ends.
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

  /** Stops requesting. */
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
