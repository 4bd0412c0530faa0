// One service as a process: by itself, or under a supervisor, to which it reports and with which it ends.
import type { Logger } from 'pino';
import type { AdminServer } from '../admin/server.js';
import { EsporaError, exitCodeOf, explain } from '../errors.js';
import { processStats, type ProcessStats } from '../metrics/measured.js';
import type { MetricsServer } from '../metrics/server.js';
import { resolveOptions } from '../options/resolve.js';
import { serviceOptionsOf, type ServiceKind, type Values } from '../options/table.js';
import { Api } from '../services/api.js';
import { Balancer } from '../services/balancer.js';
import { Database } from '../services/database.js';
import { owesHeader, type Started, type StoreOpened } from '../services/service.js';
import { fromSupervisor, type FromService } from '../supervisor/messages.js';
import { removeIfEmpty } from '../supervisor/run-directory.js';
import { collectWhenNeeded } from './idle-collection.js';
import { metricsLine, serviceLines } from './lines.js';
import { createLogger } from './log.js';
import { printError, printJson, printLine } from './output.js';
import { ReadyFile, readyText } from './ready-file.js';
import { sourcesOf, type Flags } from './sources.js';
import { onStopSignals } from './stop-signals.js';

// When the supervisor has ended, connections get this long to end: the next supervisor needs the port.
const orphanDrainMs = 1000;
// A process that was told to stop at once is killed after this time.
const atOnceGraceMs = 1000;

type AnyValues = Values<'balancer'> | Values<'api'> | Values<'database'>;

type AnyService = Balancer | Api | Database;

const classes = { balancer: Balancer, api: Api, database: Database };

/** The service of a command, made with those of the options that the class has. */
export function createService(kind: ServiceKind, values: AnyValues): AnyService {
  const all = values as Readonly<Record<string, unknown>>;
  const options = Object.fromEntries(serviceOptionsOf(kind).map((name) => [name, all[name]]));
  return new (classes[kind] as new (options: object) => AnyService)(options);
}

/**
 * The channel to the supervisor: messages in both directions, and the supervisor's end. Does nothing if
 * there is no supervisor.
 */
class SupervisorChannel {
  readonly exists = process.send !== undefined;
  #runDirectory: string | undefined;

  listen(handlers: { stats: () => ProcessStats; stopAtOnce: () => void; gone: () => void }): void {
    if (!this.exists) return;
    process.on('message', (received) => {
      const message = fromSupervisor(received);
      if (message?.type === 'run-directory') this.#runDirectory = message.path;
      if (message?.type === 'stop-at-once') handlers.stopAtOnce();
      if (message?.type === 'stats') void this.send({ type: 'stats', stats: handlers.stats() });
    });
    process.once('disconnect', handlers.gone);
  }

  /** Resolves when the message was sent or cannot be sent. */
  send(message: FromService): Promise<void> {
    return new Promise((resolve) => {
      if (!this.exists || !process.connected) resolve();
      else {
        process.send!(message, undefined, undefined, () => resolve());
      }
    });
  }

  /** Removes the run directory if the supervisor was killed and cannot do it. */
  removeRunDirectory(): void {
    if (this.#runDirectory !== undefined && !process.connected) removeIfEmpty(this.#runDirectory);
  }
}

/** The request that a service stops, with its drain time. */
class StopRequest {
  /** Fulfilled with the drain time when the service is first asked to stop. */
  readonly requested: Promise<number>;
  readonly #service: AnyService;
  #request!: (drainMs: number) => void;

  constructor(service: AnyService) {
    this.#service = service;
    this.requested = new Promise((resolve) => {
      this.#request = resolve;
    });
  }

  request(drainMs: number): void {
    this.#request(drainMs);
  }

  /** Stops without drain time; a process that does not end then is killed. No answered request is lost. */
  atOnce(): void {
    this.#request(0);
    void this.#service.stop({ drain: 0 });
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), atOnceGraceMs).unref();
  }
}

/** Runs a service until it is told to stop. Resolves with the exit code; never rejects. */
export async function runService(kind: ServiceKind, flags: Flags): Promise<number> {
  collectWhenNeeded();
  const channel = new SupervisorChannel();
  let program = `espora ${kind}`;
  try {
    const resolution = resolveOptions(kind, sourcesOf(flags));
    const values = resolution.values as AnyValues;
    const name = values.name ?? kind;
    program = `espora ${name}`;
    process.title = program;
    const log = createLogger(name, values);
    for (const warning of resolution.warnings) log.warn(warning);
    return await live(kind, name, values, { log, json: flags.json === true, channel });
  } catch (error) {
    if (!channel.exists) return printError(program, error);
    // The supervisor prints it. Anything but an EsporaError is a bug, and its stack is printed here.
    if (!(error instanceof EsporaError)) printError(program, error);
    const message = error instanceof EsporaError ? explain(error) : String(error);
    const exitCode = exitCodeOf(error);
    await channel.send({ type: 'failed', message, exitCode });
    return exitCode;
  }
}

async function live(
  kind: ServiceKind,
  name: string,
  values: AnyValues,
  { log, json, channel }: { log: Logger; json: boolean; channel: SupervisorChannel },
): Promise<number> {
  const say = (line: string, event: Readonly<Record<string, unknown>>): void => {
    if (json) printJson({ service: name, pid: process.pid, ...event });
    else printLine(line);
  };
  const service = createService(kind, values);
  service.on('notice', (message) => log.info(message));
  service.on('warning', (message) => log.warn(message));
  service.on('failed', (message) => log.error(message));
  const stop = new StopRequest(service);
  onStopSignals({
    first: () => stop.request(values.drainTimeout),
    again: () => stop.atOnce(),
  });
  channel.listen({
    stats: () => processStats(service.stats()),
    stopAtOnce: () => stop.atOnce(),
    gone: () => {
      log.warn('the supervisor is gone; stopping');
      stop.request(Math.min(orphanDrainMs, values.drainTimeout));
    },
  });
  // Signal handlers do not keep a process alive.
  const alive = setInterval(() => undefined, 2 ** 31 - 1);
  let ready: ReadyFile | undefined;
  try {
    if (values.readyFile !== undefined) ready = new ReadyFile(values.readyFile);
    const started: Started = await service.start();
    logStore(log, started.store);
    const metrics = await serve(kind, name, values, service);
    const admin = await openAdminSocket(values, service);
    const text = readyText(started, (address) => service[owesHeader](address));
    if (ready !== undefined) writeReadyFile(log, ready, text);
    await channel.send({ type: 'ready', started });
    say(serviceLines.ready(name, started, values), { event: 'ready', ...started });
    if (metrics !== undefined) {
      say(metricsLine(values.metricsHost, metrics.port), { event: 'metrics', port: metrics.port });
    }
    const drainMs = await stop.requested;
    say(serviceLines.stopping(name, drainMs), { event: 'stopping', drainMs });
    ready?.remove();
    await service.stop({ drain: drainMs });
    metrics?.close();
    admin?.close();
    say(serviceLines.stopped(name), { event: 'stopped' });
    channel.removeRunDirectory();
    return 0;
  } finally {
    ready?.remove();
    clearInterval(alive);
  }
}

/** Logs what the operator should know about the opened store. */
function logStore(log: Logger, store: StoreOpened | undefined): void {
  if (store === undefined) return;
  for (const warning of store.warnings) log.warn(warning);
  if (store.tail === 'clean') return;
  const { tail, unprovenRecords, lastSeq } = store;
  log.info({ tail, unprovenRecords, lastSeq }, 'the store was not closed: it was recovered');
}

/** Writes the ready file. If that fails it is only a warning, because clients are served. */
function writeReadyFile(log: Logger, file: ReadyFile, text: string): void {
  try {
    file.write(text);
  } catch (error) {
    if (!(error instanceof EsporaError)) throw error;
    log.warn(`${error.message}: a health check will take the service for one that is not ready`);
  }
}

/** The socket for `espora admin`, if one is wanted. */
async function openAdminSocket(
  values: AnyValues,
  service: AnyService,
): Promise<AdminServer | undefined> {
  if (!('adminSocket' in values) || values.adminSocket === undefined) return undefined;
  if (!(service instanceof Balancer)) return undefined;
  const { serveAdmin } = await import('../admin/server.js');
  return serveAdmin(values.adminSocket, service);
}

/** The endpoint for metrics, if one is wanted. */
async function serve(
  kind: ServiceKind,
  name: string,
  values: AnyValues,
  service: AnyService,
): Promise<MetricsServer | undefined> {
  const { metricsHost: host, metricsPort: port } = values;
  if (port === undefined) return undefined;
  const relaxed = 'fsyncInterval' in values ? { fsyncIntervalMs: values.fsyncInterval } : {};
  const { serveMetrics } = await import('../metrics/server.js');
  return serveMetrics({ host, port }, () =>
    Promise.resolve([
      { name, kind, restarts: 0, up: true, ...relaxed, ...processStats(service.stats()) },
    ]),
  );
}
