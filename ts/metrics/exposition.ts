// Measured processes in Prometheus's text format: one row per counter says its name and meaning.
import { Counter, Gauge, Registry } from 'prom-client';
import type { NativeDatabaseStats, NativeForwarderStats, NativeUpstreamStats } from '../native.js';
import type { Measured } from './measured.js';

type Row = readonly [type: 'counter' | 'gauge', name: string, help: string, factor?: number];

const databaseRows: Readonly<Record<keyof NativeDatabaseStats, Row>> = {
  connectionsAccepted: ['counter', 'connections', 'Connections accepted'],
  connectionsActive: ['gauge', 'connections_active', 'Connections now'],
  requests: ['counter', 'requests', 'Requests that were read whole'],
  answers2xx: ['counter', 'answers_2xx', 'Answers with a status of 2xx'],
  answers4xx: ['counter', 'answers_4xx', 'Answers with a status of 4xx'],
  answers5xx: ['counter', 'answers_5xx', 'Answers with a status of 5xx'],
  timeouts: ['counter', 'timeouts', 'Connections ended because a deadline passed'],
  acceptPauses: [
    'counter',
    'accept_pauses',
    'Rests of accepting for lack of descriptors or memory',
  ],
  bytesIn: ['counter', 'received_bytes', 'Bytes from clients'],
  bytesOut: ['counter', 'sent_bytes', 'Bytes to clients'],
  transactions: ['counter', 'transactions', 'Transactions stored'],
  acknowledgedSeq: ['gauge', 'acknowledged_seq', 'Highest sequence number that was answered'],
  durableSeq: ['gauge', 'durable_seq', 'Highest sequence number on the device'],
  commits: ['counter', 'commits', 'Batches written'],
  commitNs: ['counter', 'commit_seconds', 'Time in commits: write and flush', 1e-9],
  commitNsMax: ['gauge', 'commit_seconds_max', 'Longest commit', 1e-9],
  flushes: ['counter', 'flushes', 'Flushes of the log'],
  bytesWritten: ['counter', 'written_bytes', 'Bytes written to the log, padding included'],
  parked: ['counter', 'parked', 'Requests that waited for space or for a batch'],
  storeFull: ['counter', 'store_full', 'Transactions refused for lack of space'],
  segmentsRewritten: ['counter', 'segments_rewritten', 'Closed segments rewritten densely'],
  rewriteSavedBytes: ['counter', 'rewrite_saved_bytes', 'Disk space that rewriting gave back'],
  rewriteFailures: ['counter', 'rewrite_failures', 'Rewritings given up, to be tried again'],
  segmentsDamaged: ['counter', 'segments_damaged', 'Closed segments found damaged, and kept'],
  snapshots: ['counter', 'snapshots', 'Snapshots made'],
  snapshotFailures: ['counter', 'snapshot_failures', 'Snapshots given up, to be tried again'],
};

const forwarderRows: Readonly<Record<Exclude<keyof NativeForwarderStats, 'upstreams'>, Row>> = {
  accepted: ['counter', 'sessions', 'Connections accepted'],
  active: ['gauge', 'sessions_active', 'Sessions now, connecting ones included'],
  bytesUp: ['counter', 'up_bytes', 'Bytes from clients to upstreams'],
  bytesDown: ['counter', 'down_bytes', 'Bytes from upstreams to clients'],
  retries: ['counter', 'retries', 'Connects to a further upstream after one failed'],
  backlogWaits: ['counter', 'backlog_waits', 'Rests because all backlogs were full'],
  localErrors: ['counter', 'local_errors', 'Shortages of our own: descriptors, memory, ports'],
  acceptPauses: [
    'counter',
    'accept_pauses',
    'Rests of accepting for lack of descriptors or memory',
  ],
  limitPauses: ['counter', 'limit_pauses', 'Rests of accepting at the limit of connections'],
  acceptErrors: ['counter', 'accept_errors', 'Connections gone before they were accepted'],
  endedNormally: ['counter', 'ended_normally', 'Sessions that both sides ended'],
  endedByClient: ['counter', 'ended_by_client', 'Sessions whose client reset or vanished'],
  endedByUpstream: ['counter', 'ended_by_upstream', 'Sessions whose upstream failed'],
  endedUnreachable: ['counter', 'ended_unreachable', 'Sessions that no upstream took'],
  endedConnectTimeout: [
    'counter',
    'ended_connect_timeout',
    'Sessions that took too long to connect',
  ],
  endedIdle: ['counter', 'ended_idle', 'Sessions that were silent for too long'],
  endedHalfClosed: ['counter', 'ended_half_closed', 'Sessions half-closed for too long'],
  endedByStop: ['counter', 'ended_by_stop', 'Sessions cut at a stop'],
  endedLocalError: ['counter', 'ended_local_error', 'Sessions ended by a shortage of our own'],
  buffersInUse: ['gauge', 'buffers_in_use', 'Buffers lent now'],
  buffersPeak: ['gauge', 'buffers_peak', 'Most buffers lent at once'],
};

const upstreamRows: Readonly<Record<Exclude<keyof NativeUpstreamStats, 'address'>, Row>> = {
  up: ['gauge', 'upstream_up', '0 while its name cannot be resolved'],
  connections: ['counter', 'upstream_connections', 'Connects that succeeded'],
  active: ['gauge', 'upstream_sessions_active', 'Sessions now'],
  connectFailures: ['counter', 'upstream_connect_failures', 'Connects that failed'],
  bytesTo: ['counter', 'upstream_sent_bytes', 'Bytes to it'],
  bytesFrom: ['counter', 'upstream_received_bytes', 'Bytes from it'],
};

/** A registry for one scrape: everything is set once and thrown away. */
class Scrape {
  readonly #registry = new Registry();

  set([type, name, help, factor = 1]: Row, labels: Record<string, string>, value: number): void {
    const full = `espora_${name}${type === 'counter' ? '_total' : ''}`;
    const known = this.#registry.getSingleMetric(full) as Counter | Gauge | undefined;
    const Metric = type === 'counter' ? Counter : Gauge;
    const metric =
      known ??
      new Metric({
        name: full,
        help,
        labelNames: Object.keys(labels),
        registers: [this.#registry],
      });
    metric.inc(labels, value * factor);
  }

  setAll(
    rows: Readonly<Record<string, Row>>,
    labels: Record<string, string>,
    stats: Readonly<Record<string, unknown>>,
  ): void {
    for (const [key, row] of Object.entries(rows)) this.set(row, labels, Number(stats[key]));
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

const processRows = {
  residentBytes: ['gauge', 'resident_bytes', 'Resident memory of the process'],
  cpuSeconds: ['counter', 'cpu_seconds', 'CPU time of the process'],
  restarts: ['counter', 'restarts', 'Restarts of the process after a crash'],
} as const satisfies Readonly<Record<string, Row>>;
const fsyncRow: Row = [
  'gauge',
  'fsync_interval_seconds',
  '0: every answer waits for its flush; above 0: relaxed',
  1e-3,
];

/** The measured processes in Prometheus's text format. */
export function metricsText(measured: readonly Measured[]): Promise<string> {
  const scrape = new Scrape();
  for (const one of measured) {
    const labels = { service: one.name };
    scrape.setAll(processRows, labels, { ...one });
    if (one.fsyncIntervalMs !== undefined) scrape.set(fsyncRow, labels, one.fsyncIntervalMs);
    if (one.service === undefined) continue;
    const { upstreams, ...counters } = { upstreams: [], ...one.service };
    scrape.setAll(one.kind === 'database' ? databaseRows : forwarderRows, labels, { ...counters });
    for (const { address, ...stats } of upstreams) {
      scrape.setAll(upstreamRows, { ...labels, upstream: address }, stats);
    }
  }
  return scrape.text();
}
