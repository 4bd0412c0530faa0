// The one table of counters. Each key is the counter's name in the addon (for_each_counter in native/); the
// types of the services' counters and the exposition derive from it.

/** `flag`: a gauge that is 0 or 1. `times`: a summary, in seconds. */
export type MetricKind = 'counter' | 'gauge' | 'flag' | 'times';

/** One metric; its value times `factor` is exposed. */
export interface Metric<Kind extends MetricKind = MetricKind> {
  readonly kind: Kind;
  readonly name: string;
  readonly help: string;
  readonly factor: number;
}

/** The metric's name in Prometheus. */
export const fullName = ({ kind, name }: Metric): string =>
  `espora_${name}${kind === 'counter' ? '_total' : ''}`;

const row =
  <Kind extends MetricKind>(kind: Kind) =>
  (name: string, help: string, factor = 1): Metric<Kind> => ({ kind, name, help, factor });
const counter = row('counter');
const gauge = row('gauge');
const flag = row('flag');
const times = row('times');

/** A distribution of durations. Percentiles are at most 1/16 too high. */
export interface Durations {
  count: number;
  sumUs: number;
  p50Us: number;
  p90Us: number;
  p99Us: number;
  p999Us: number;
}

/** The addon's values for rows of the table: counts since the start, or current values. */
export type Counts<Rows> = {
  -readonly [Key in keyof Rows]: Rows[Key] extends Metric<'times'>
    ? Durations
    : Rows[Key] extends Metric<'flag'>
      ? boolean
      : number;
};

/** Clients that other services hand over to this one. */
const received = {
  received: counter('received_connections', 'Connections that other services handed over'),
  receiveRefused: counter(
    'received_refused',
    'Connections handed over and refused for lack of room',
  ),
  receiveTruncated: counter(
    'received_truncated',
    'Connections handed over and lost for lack of descriptors',
  ),
  receiveStrays: counter(
    'received_strays',
    'Descriptors received that were no connected stream socket, and malformed messages',
  ),
  receiveUnacknowledged: counter(
    'received_unacknowledged',
    'Connections handed over and closed unread because their sender was gone or had given up',
  ),
  channelsDenied: counter(
    'channels_denied',
    'Channels refused because their user may not hand over connections',
  ),
};

const acceptPauses = counter(
  'accept_pauses',
  'Pauses of accepting for lack of descriptors or memory',
);

/** Of a database; only what is durable is counted. */
export const databaseMetrics = {
  connectionsAccepted: counter('connections', 'Connections accepted'),
  connectionsActive: gauge('connections_active', 'Connections now'),
  requests: counter('requests', 'Requests read to their end'),
  answers2xx: counter('answers_2xx', 'Answers with a status of 2xx'),
  answers4xx: counter('answers_4xx', 'Answers with a status of 4xx'),
  answers5xx: counter('answers_5xx', 'Answers with a status of 5xx'),
  timeouts: counter('timeouts', 'Connections ended because a deadline passed'),
  acceptPauses,
  bytesIn: counter('received_bytes', 'Bytes from clients'),
  bytesOut: counter('sent_bytes', 'Bytes to clients'),
  bytesHeld: gauge('held_bytes', 'Memory held by unfinished requests and unsent answers'),
  ...received,
  transactions: counter('transactions', 'Transactions stored'),
  acknowledgedSeq: gauge('acknowledged_seq', 'Highest sequence number that was answered'),
  durableSeq: gauge('durable_seq', 'Highest sequence number on the device'),
  commits: counter('commits', 'Batches of transactions written'),
  commitNs: counter('commit_seconds', 'Time spent in commits, which write and flush', 1e-9),
  commitNsMax: gauge('commit_seconds_max', 'Longest commit', 1e-9),
  flushes: counter('flushes', 'Flushes of the log'),
  bytesWritten: counter('written_bytes', 'Bytes written to the log, padding included'),
  parked: counter('parked', 'Requests that waited for space or for a batch'),
  storeFull: counter('store_full', 'Transactions refused for lack of space'),
  segmentsRewritten: counter('segments_rewritten', 'Closed segments rewritten densely'),
  rewriteSavedBytes: counter('rewrite_saved_bytes', 'Disk space that rewriting gave back'),
  rewriteFailures: counter('rewrite_failures', 'Rewritings given up and tried again later'),
  segmentsDamaged: counter('segments_damaged', 'Closed segments found damaged and kept'),
  snapshots: counter('snapshots', 'Snapshots made'),
  snapshotFailures: counter('snapshot_failures', 'Snapshots given up and tried again later'),
};

/** Of a balancer or an api. */
export const forwarderMetrics = {
  accepted: counter('sessions', 'Connections accepted'),
  active: gauge('sessions_active', 'Sessions now, connecting ones included'),
  bytesUp: counter('up_bytes', 'Bytes from clients to upstreams'),
  bytesDown: counter('down_bytes', 'Bytes from upstreams to clients'),
  retries: counter('retries', 'Connects to a further upstream after one failed'),
  backlogWaits: counter('backlog_waits', 'Pauses of a session because all backlogs were full'),
  localErrors: counter('local_errors', 'Shortages of descriptors, memory or ports in this process'),
  acceptPauses,
  limitPauses: counter('limit_pauses', 'Pauses of accepting at the limit of connections'),
  acceptErrors: counter('accept_errors', 'Connections that ended before they were accepted'),
  endedNormally: counter('ended_normally', 'Sessions that both sides ended'),
  endedByClient: counter('ended_by_client', 'Sessions whose client reset or vanished'),
  endedByUpstream: counter('ended_by_upstream', 'Sessions whose upstream failed'),
  endedUnreachable: counter('ended_unreachable', 'Sessions that no upstream accepted'),
  endedConnectTimeout: counter('ended_connect_timeout', 'Sessions that took too long to connect'),
  endedIdle: counter('ended_idle', 'Sessions that were silent for too long'),
  endedHalfClosed: counter('ended_half_closed', 'Sessions that stayed half-closed for too long'),
  endedLifetime: counter(
    'ended_lifetime',
    'Sessions ended because they reached the session timeout',
  ),
  endedProxyHeader: counter(
    'ended_proxy_header',
    'Sessions whose client sent no valid PROXY header',
  ),
  endedByStop: counter('ended_by_stop', 'Sessions cut at a stop'),
  endedLocalError: counter('ended_local_error', 'Sessions ended by a shortage in this process'),
  endedAtHolder: counter(
    'ended_at_holder',
    'Connections that were handed over and have ended since',
  ),
  ...received,
  passed: counter('passed', 'Connections handed over to upstreams'),
  passedActive: gauge('passed_active', 'Connections held by upstreams now'),
  passUnacknowledged: gauge(
    'pass_unacknowledged',
    'Connections offered to upstreams and not yet answered',
  ),
  passMessages: counter('pass_messages', 'Messages that carried connections'),
  passRefused: counter('pass_refused', 'Offers refused by an upstream for lack of room'),
  passReturned: counter('pass_returned', 'Offers whose channel ended before the answer'),
  passFull: counter(
    'pass_full',
    'Times an upstream was passed over because it could take no further offer',
  ),
  passShortages: counter('pass_shortages', 'Offers that met a shortage in this process'),
  passUnreported: counter('pass_unreported', 'Connections held by an upstream whose channel ended'),
  channelsLost: counter('channels_lost', 'Channels to upstreams that ended while in use'),
  channelsCut: counter('channels_cut', 'Channels to upstreams that were given up'),
  buffersInUse: gauge('buffers_in_use', 'Buffers in use now'),
  buffersPeak: gauge('buffers_peak', 'Most buffers in use at once'),
  pipesInUse: gauge('pipes_in_use', 'Pipes in use now'),
  pipesPeak: gauge('pipes_peak', 'Most pipes in use at once'),
  connect: times('connect_seconds', 'Duration of successful connects'),
  session: times('session_seconds', 'Duration of sessions, from accept to end'),
};

/** Of each upstream of a forwarder. */
export const upstreamMetrics = {
  up: flag('upstream_up', '1 while the upstream gets connections'),
  weight: gauge('upstream_weight', 'Share of connections that the upstream gets'),
  connections: counter('upstream_connections', 'Successful connects'),
  active: gauge('upstream_sessions_active', 'Sessions now'),
  connectFailures: counter('upstream_connect_failures', 'Failed connects'),
  silentSessions: counter(
    'upstream_silent_sessions',
    'Sessions that ended without a byte from the upstream',
  ),
  ejections: counter('upstream_ejections', 'Ejections of the upstream'),
  checks: counter('upstream_checks', 'Completed health checks'),
  checksFailed: counter('upstream_checks_failed', 'Failed health checks'),
  bytesTo: counter('upstream_sent_bytes', 'Bytes to the upstream'),
  bytesFrom: counter('upstream_received_bytes', 'Bytes from the upstream'),
  connect: times('upstream_connect_seconds', 'Duration of successful connects'),
  session: times('upstream_session_seconds', 'Duration of sessions, from accept to end'),
};

/** Of every process, whether or not it is up. */
export const lifeMetrics = {
  up: flag('up', '1: the process answered; 0: it does not run or did not answer in time'),
  restarts: counter('restarts', 'Restarts of the process after a crash'),
};

/** Of a process that is up. */
export const processMetrics = {
  residentBytes: gauge('resident_bytes', 'Resident memory of the process'),
  cpuSeconds: counter('cpu_seconds', 'CPU time of the process'),
};

/** Of a database's process. */
export const flushMetrics = {
  fsyncIntervalMs: gauge(
    'fsync_interval_seconds',
    '0: every answer waits for its flush; above 0: relaxed',
    1e-3,
  ),
};
