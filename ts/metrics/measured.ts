// The counters of processes, as the metrics and the supervisor exchange them.
import type { NativeDatabaseStats, NativeForwarderStats } from '../native.js';
import type { ServiceKind } from '../options/table.js';

export type ServiceStats = NativeDatabaseStats | NativeForwarderStats;

/** What a process reports about itself. */
export interface ProcessStats {
  /** Undefined while the service starts or stops. */
  readonly service: ServiceStats | undefined;
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

/** One process; what it reports is missing unless it is up. */
export interface Measured extends Partial<ProcessStats> {
  readonly name: string;
  readonly kind: ServiceKind;
  readonly restarts: number;
  /** Whether it runs and answered in time. */
  readonly up: boolean;
  /** Only of a database. 0: every answer waits for its flush; above 0: relaxed. */
  readonly fsyncIntervalMs?: number;
}

/** What this process reports about itself. */
export function processStats(service: ServiceStats | undefined): ProcessStats {
  const { user, system } = process.cpuUsage();
  return {
    service,
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
  };
}
