// Measured processes in Prometheus's text format: one row per counter says its name and meaning.
import { Counter, Gauge, Registry, Summary } from 'prom-client';
import type {
  NativeDatabaseStats,
  NativeDurations,
  NativeForwarderStats,
  NativeUpstreamStats,
} from '../native.js';
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
  bytesHeld: [
    'gauge',
    'held_bytes',
    'Memory for requests not read to the end and answers not yet gone',
  ],
  received: ['counter', 'received_connections', 'Connections that other services handed over'],
  receiveRefused: ['counter', 'received_refused', 'Handed over, and no room for them'],
  receiveTruncated: ['counter', 'received_truncated', 'Handed over, and no descriptor for them'],
  receiveStrays: ['counter', 'received_strays', 'Handed over, and no connection'],
  receiveUnacknowledged: [
    'counter',
    'received_unacknowledged',
    'Handed over, and closed because the sender heard of nothing any more',
  ],
  channelsDenied: ['counter', 'channels_denied', 'Channels of users who may not hand over'],
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

/** Times are summaries, in seconds. */
type Timed = 'connect' | 'session';

const forwarderRows: Readonly<
  Record<Exclude<keyof NativeForwarderStats, 'upstreams' | Timed>, Row>
> = {
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
  endedLifetime: ['counter', 'ended_lifetime', 'Sessions that lasted as long as one may'],
  endedProxyHeader: [
    'counter',
    'ended_proxy_header',
    'Sessions whose client sent no PROXY header, or a wrong one',
  ],
  endedByStop: ['counter', 'ended_by_stop', 'Sessions cut at a stop'],
  endedLocalError: ['counter', 'ended_local_error', 'Sessions ended by a shortage of our own'],
  endedAtHolder: ['counter', 'ended_at_holder', 'Connections handed over, and gone from there'],
  received: ['counter', 'received_connections', 'Connections that other services handed over'],
  receiveRefused: ['counter', 'received_refused', 'Handed over, and no room for them'],
  receiveTruncated: ['counter', 'received_truncated', 'Handed over, and no descriptor for them'],
  receiveStrays: ['counter', 'received_strays', 'Handed over, and no connection'],
  receiveUnacknowledged: [
    'counter',
    'received_unacknowledged',
    'Handed over, and closed because the sender heard of nothing any more',
  ],
  channelsDenied: ['counter', 'channels_denied', 'Channels of users who may not hand over'],
  passed: ['counter', 'passed', 'Connections that upstreams took'],
  passedActive: ['gauge', 'passed_active', 'Connections at upstreams now'],
  passUnacknowledged: ['gauge', 'pass_unacknowledged', 'Connections offered and not answered'],
  passMessages: ['counter', 'pass_messages', 'Messages with connections'],
  passRefused: ['counter', 'pass_refused', 'Offers that an upstream had no room for'],
  passReturned: ['counter', 'pass_returned', 'Offers whose channel ended before the answer'],
  passFull: [
    'counter',
    'pass_full',
    'Upstreams passed over: as much under way as may be, or a full channel',
  ],
  passShortages: ['counter', 'pass_shortages', 'Offers that met a shortage of our own'],
  passUnreported: ['counter', 'pass_unreported', 'Connections at upstreams whose channel ended'],
  channelsLost: ['counter', 'channels_lost', 'Channels to upstreams that ended in use'],
  channelsCut: ['counter', 'channels_cut', 'Channels to upstreams that were given up'],
  buffersInUse: ['gauge', 'buffers_in_use', 'Buffers lent now'],
  buffersPeak: ['gauge', 'buffers_peak', 'Most buffers lent at once'],
  pipesInUse: ['gauge', 'pipes_in_use', 'Pipes lent now, to streams'],
  pipesPeak: ['gauge', 'pipes_peak', 'Most pipes lent at once'],
};

type TimeRow = readonly [name: string, help: string];

const timeRows: Readonly<Record<Timed, TimeRow>> = {
  connect: ['connect_seconds', 'How long connects took that succeeded'],
  session: ['session_seconds', 'How long sessions took, from accept to end'],
};

const upstreamRows: Readonly<
  Record<Exclude<keyof NativeUpstreamStats, 'address' | 'state' | 'health' | Timed>, Row>
> = {
  up: ['gauge', 'upstream_up', '1 while it gets connections'],
  weight: ['gauge', 'upstream_weight', 'Its share of connections'],
  connections: ['counter', 'upstream_connections', 'Connects that succeeded'],
  active: ['gauge', 'upstream_sessions_active', 'Sessions now'],
  connectFailures: ['counter', 'upstream_connect_failures', 'Connects that failed'],
  silentSessions: [
    'counter',
    'upstream_silent_sessions',
    'Sessions that ended without one byte from it',
  ],
  ejections: ['counter', 'upstream_ejections', 'Times it was ejected'],
  checks: ['counter', 'upstream_checks', 'Checks that came to an end'],
  checksFailed: ['counter', 'upstream_checks_failed', 'Checks that failed'],
  bytesTo: ['counter', 'upstream_sent_bytes', 'Bytes to it'],
  bytesFrom: ['counter', 'upstream_received_bytes', 'Bytes from it'],
};

const quantiles = { 0.5: 'p50Us', 0.9: 'p90Us', 0.99: 'p99Us', 0.999: 'p999Us' } as const;

/** A summary whose percentiles were taken elsewhere. */
class Times extends Summary {
  readonly #of: { readonly labels: Record<string, string>; readonly times: NativeDurations }[] = [];
  readonly #called: { readonly name: string; readonly help: string };

  constructor(name: string, help: string, registry: Registry) {
    super({ name, help, registers: [registry] });
    this.#called = { name, help };
  }

  add(labels: Record<string, string>, times: NativeDurations): void {
    this.#of.push({ labels, times });
  }

  override get(): ReturnType<Summary['get']> {
    const { name, help } = this.#called;
    const values = this.#of.flatMap(({ labels, times }) => [
      ...Object.entries(quantiles).map(([quantile, key]) => ({
        labels: { ...labels, quantile },
        value: times[key] * 1e-6,
      })),
      { metricName: `${name}_sum`, labels, value: times.sumUs * 1e-6 },
      { metricName: `${name}_count`, labels, value: times.count },
    ]);
    // The enumeration of types is declared by the package, and not exported by it.
    const metric = { name, help, type: 'summary', values, aggregator: 'sum' };
    return Promise.resolve(metric) as unknown as ReturnType<Summary['get']>;
  }
}

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

  /** How long something took: percentiles, their number and their sum. */
  setTimes([name, help]: TimeRow, labels: Record<string, string>, times: NativeDurations): void {
    const full = `espora_${name}`;
    const known = this.#registry.getSingleMetric(full) as Times | undefined;
    (known ?? new Times(full, help, this.#registry)).add(labels, times);
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

const upRow: Row = [
  'gauge',
  'up',
  '1: the process answered; 0: it does not run, or did not answer in time',
];
const restartsRow: Row = ['counter', 'restarts', 'Restarts of the process after a crash'];
const processRows = {
  residentBytes: ['gauge', 'resident_bytes', 'Resident memory of the process'],
  cpuSeconds: ['counter', 'cpu_seconds', 'CPU time of the process'],
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
    scrape.set(upRow, labels, one.up ? 1 : 0);
    scrape.set(restartsRow, labels, one.restarts);
    if (!one.up) continue;
    scrape.setAll(processRows, labels, { ...one });
    if (one.fsyncIntervalMs !== undefined) scrape.set(fsyncRow, labels, one.fsyncIntervalMs);
    if (one.service === undefined) continue;
    const { upstreams, ...counters } = { upstreams: [], ...one.service };
    scrape.setAll(one.kind === 'database' ? databaseRows : forwarderRows, labels, { ...counters });
    if ('connect' in one.service) {
      scrape.setTimes(timeRows.connect, labels, one.service.connect);
      scrape.setTimes(timeRows.session, labels, one.service.session);
    }
    for (const { address, ...stats } of upstreams) {
      const upstream = { ...labels, upstream: address };
      scrape.setAll(upstreamRows, upstream, { ...stats });
      for (const key of ['connect', 'session'] as const) {
        const [name, help] = timeRows[key];
        scrape.setTimes([`upstream_${name}`, help], upstream, stats[key]);
      }
    }
  }
  return scrape.text();
}
