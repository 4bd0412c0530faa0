// The lines on stdout while services start and stop. Pure.
import type { Values } from '../options/table.js';
import { duration } from '../options/kinds.js';
import type { Listening, Started, StoreOpened } from '../services/service.js';
import type { SupervisorEvent } from '../supervisor/supervisor.js';
import type { Topology } from '../topology/topology.js';
import { number } from './output.js';

type EntranceOptions = Pick<Values<'start'>, 'host' | 'port' | 'listenFds'>;

const { format: time } = duration({ minMs: 0, maxMs: 0 });

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** `http://localhost:9999` for 0.0.0.0 and 9999. */
export function url(host: string, port: number): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  const name = everywhere ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${String(port)}`;
}

/** `0.0.0.0:9999 and /run/espora/db.sock`. */
export function listening({ addresses }: Listening): string {
  return addresses.join(' and ');
}

/** The address for clients: `http://localhost:9999`, or that of inherited sockets. */
export function entrance(
  { host, port, listenFds = 0 }: EntranceOptions,
  { port: chosen, addresses }: Listening,
): string {
  const own = port === undefined || chosen === undefined ? [] : [url(host, chosen)];
  const taken = listenFds === 0 ? [] : addresses.slice(-listenFds);
  const places = taken.map((address) => {
    const [, of, at] = /^([^/@]*):(\d+)$/.exec(address) ?? [];
    return of === undefined ? address : url(of.replaceAll(/[[\]]/g, ''), Number(at));
  });
  return [...own, ...places].join(' and ');
}

export function metricsLine(host: string, port: number): string {
  return `  metrics at ${url(host, port)}/metrics, statistics at /stats`;
}

/** How many transactions the store has, and what an answer means. */
export function storeState(
  store: StoreOpened,
  options: Pick<Values<'database'>, 'data' | 'fsyncInterval'>,
): string {
  const { records } = store;
  const count = `${number(records)} transaction${records === 1 ? '' : 's'} in ${options.data}`;
  if (store.readOnly) return `${count}; READ-ONLY: there is no space for more`;
  return options.fsyncInterval === 0
    ? `${count}; each answer waits until it is on disk`
    : `${count}; RELAXED: a crash can lose the last ${time(options.fsyncInterval)} of answers`;
}

/** The lines for the events of a supervisor. */
export class StartLines {
  readonly #width: number;
  readonly #options: Values<'start'>;
  readonly #entry: string;
  #entrance = 'no address';
  #stopping = false;

  constructor(topology: Topology, options: Values<'start'>) {
    this.#width = Math.max(...topology.services.map(({ name }) => name.length));
    this.#options = options;
    this.#entry = topology.services.find(({ listen }) => listen === 'entry')!.name;
  }

  static head(version: string, topology: Topology): string {
    return `espora ${version}: ${topology.summary} (topology ${topology.name})`;
  }

  /** The line for an event; undefined if there is none. */
  of(event: SupervisorEvent): string | undefined {
    switch (event.event) {
      case 'service-ready':
        if (event.service === this.#entry) this.#entrance = entrance(this.#options, event.started);
        return this.#row(event.service, this.#ready(event));
      case 'ready':
        return `Ready after ${seconds(event.elapsedMs)}: ${this.#entrance} (Ctrl-C stops it)`;
      case 'service-slow':
        return this.#row(event.service, `still starting after ${seconds(event.elapsedMs)}`);
      case 'stopping':
        this.#stopping = event.services > 0;
        return this.#stopping ? 'Stopping (a second Ctrl-C ends it at once)' : undefined;
      case 'stopping-at-once':
        return 'Stopping at once';
      case 'service-stopped':
        return this.#row(event.service, event.killed ? 'killed' : 'stopped');
      case 'stopped':
        return this.#stopping ? 'Stopped' : undefined;
      case 'service-stopping':
      case 'service-crashed':
      case 'failed':
        // The last two go to stderr: as a warning in the log, and as the final error.
        return undefined;
    }
  }

  #row(service: string, text: string): string {
    return `  ${service.padEnd(this.#width)}  ${text}`;
  }

  #ready(event: Extract<SupervisorEvent, { event: 'service-ready' }>): string {
    const word = event.restarts > 0 ? 'ready again' : 'ready';
    const { store } = event.started;
    if (store !== undefined) return `${word}: ${storeState(store, this.#options)}`;
    return event.upstreams.length === 0 ? word : `${word} → ${event.upstreams.join(', ')}`;
  }
}

/** What a balancer or an api does with its connections. */
export function destination(
  options: Partial<
    Pick<Values<'balancer'>, 'host' | 'mode' | 'upstreams'> & Pick<Values<'api'>, 'db'>
  >,
): string {
  const verb = options.mode === 'handoff' ? 'hands over to' : 'forwards to';
  return `${verb} ${(options.upstreams ?? [options.db]).join(', ')}`;
}

/** Lines of a service that runs by itself. */
export const serviceLines = {
  ready(
    name: string,
    started: Started,
    options: Values<'balancer'> | Values<'api'> | Values<'database'>,
  ): string {
    const where = listening(started);
    const what =
      'data' in options && started.store !== undefined
        ? storeState(started.store, options)
        : destination(options);
    return `espora ${name}: ready on ${where}; ${what}`;
  },
  stopping(name: string, drainMs: number): string {
    return `espora ${name}: stopping; open connections have ${time(drainMs)} to end (again: at once)`;
  },
  stopped(name: string): string {
    return `espora ${name}: stopped`;
  },
};
