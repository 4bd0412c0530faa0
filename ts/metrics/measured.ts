// What processes say about themselves, before it takes any format.
import type { NativeDatabaseStats, NativeForwarderStats } from '../native.js';
import type { ServiceKind } from '../options/table.js';

/** Counters of one service. */
export type ServiceStats = NativeDatabaseStats | NativeForwarderStats;

/** What one process says about itself. */
export interface ProcessStats {
  /** Undefined while it starts or stops. */
  readonly service: ServiceStats | undefined;
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

/** One process of a whole; what it says about itself is missing unless it is up. */
export interface Measured extends Partial<ProcessStats> {
  readonly name: string;
  readonly kind: ServiceKind;
  readonly restarts: number;
  /** Whether it runs, and answered in time when it was asked. */
  readonly up: boolean;
  /** Of the database, 0: every answer waits for its flush; above 0: relaxed. */
  readonly fsyncIntervalMs?: number;
}

/** What the present process says about itself. */
export function processStats(service: ServiceStats | undefined): ProcessStats {
  const { user, system } = process.cpuUsage();
  return {
    service,
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
  };
}
