// The common part of the three services: checked options, one start, one stop, warnings. The addon does
// the work; no byte of a request passes through here.
import { EventEmitter } from 'node:events';
import { EsporaError, invalid, toEsporaError } from '../errors.js';
import { duration } from '../options/kinds.js';
import { asJson } from '../shown.js';
import { resolveServiceOptions } from '../options/resolve.js';
import type { ServiceInput, ServiceKind, ServiceValues } from '../options/table.js';
import type {
  Listening,
  NativeService,
  StoreOpened,
  UpstreamHealth,
  UpstreamState,
} from '../native.js';

export type { Listening, NativeService, StoreOpened };

/** What `start` of a service resolves with; `store` only for a database. */
export interface Started extends Listening {
  readonly store?: StoreOpened;
}

export interface StopOptions {
  /** How long open connections may last, in milliseconds or as text with a unit; 5 s. */
  readonly drain?: number | string;
}

/** Key of the method that tells whether a client from an address must send a PROXY header. */
export const owesHeader = Symbol('owes a header');

/** Key of the method that returns the addon's settings. Not part of the library's surface. */
export const settingsInForce = Symbol('settings in force');

/** What the event `upstream` reports: a change of an upstream's state or health. */
export interface UpstreamChange {
  readonly address: string;
  readonly state: UpstreamState;
  readonly health: UpstreamHealth;
  /** The reason, as one clause. */
  readonly reason: string;
}

interface ServiceEvents {
  /** Worth knowing; nothing is wrong. */
  notice: [message: string];
  /** Something needs attention; the service continues. */
  warning: [message: string];
  /** The store failed; waiting requests are answered with 503, then the process exits by itself. */
  failed: [message: string];
  upstream: [change: UpstreamChange];
}

type Sentence = readonly [kind: 'notice' | 'warning' | 'failed', message: string];

/** The sentence for an event of the addon, if there is one. */
function readEvent(name: string, detail: Readonly<Record<string, unknown>>): Sentence | undefined {
  const upstream = String(detail['upstream']);
  const message = String(detail['message']);
  switch (name) {
    case 'warning':
    case 'failed':
      return [name, message];
    case 'upstream-unreachable':
      return ['warning', `${upstream} cannot be reached: ${message}`];
    case 'upstream-reachable':
      return ['notice', `${upstream} can be reached again`];
    case 'upstream':
      return readUpstreamEvent(upstream, detail);
    case 'accept-paused':
      return ['warning', `new connections must wait: ${message}`];
    default:
      return undefined;
  }
}

/** The sentence for a change of an upstream's state or health. */
function readUpstreamEvent(
  upstream: string,
  { state, health, message }: Readonly<Record<string, unknown>>,
): Sentence | undefined {
  if (state !== 'up') return ['notice', `${upstream} is ${String(state)}: ${String(message)}`];
  switch (health) {
    case 'ejected':
      return ['warning', `${upstream} is ejected: ${String(message)}`];
    case 'failed':
      return ['warning', `${upstream} is out of use: ${String(message)}`];
    case 'probation':
      return ['notice', `${upstream} is in use again, on probation: ${String(message)}`];
    case 'fit':
      return ['notice', `${upstream} is in use: ${String(message)}`];
    default:
      return undefined; // `unresolved` is reported as unreachable.
  }
}

type State = 'new' | 'starting' | 'running' | 'stopping' | 'stopped';

const drainKind = duration({ minMs: 0, maxMs: 600_000 });
const defaultDrainMs = 5000;

function readDrain(drain: number | string | undefined): number {
  const parsed = drainKind.schema.safeParse(drain ?? defaultDrainMs);
  if (parsed.success) return parsed.data;
  throw invalid(`drain is ${asJson(drain)}: it must be ${drainKind.expected}`);
}

/** The same error; if it is about the unix socket, with a remedy for that instead of for a port. */
function aboutSocket(
  error: unknown,
  { unixSocket }: { readonly unixSocket?: string | undefined },
): unknown {
  if (!(error instanceof EsporaError) || error.code !== 'ERR_ESPORA_ADDRESS_IN_USE') return error;
  if (unixSocket === undefined || !error.message.includes(unixSocket)) return error;
  const remedy = '--unix-socket names it';
  return new EsporaError(error.code, error.message, { cause: error, remedy });
}

/** A service of this process, which can be started once. */
export abstract class Service<
  Kind extends ServiceKind,
  Report extends Started,
  Stats extends object,
> extends EventEmitter<ServiceEvents> {
  /** The options after validation, with defaults, frozen. */
  readonly options: ServiceValues<Kind>;
  readonly #native: NativeService<Report, Stats>;
  #state: State = 'new';
  #starting: Promise<Report> | undefined;

  /**
   * `create` makes the addon's object from the checked options. Throws ERR_ESPORA_INVALID for invalid
   * options.
   */
  protected constructor(
    kind: Kind,
    input: ServiceInput<Kind>,
    create: (options: ServiceValues<Kind>) => NativeService<Report, Stats>,
  ) {
    super();
    this.options = resolveServiceOptions(kind, input);
    try {
      this.#native = create(this.options);
    } catch (error) {
      throw toEsporaError(error);
    }
  }

  /** Starts it; resolves when it accepts connections. Rejects with an EsporaError. */
  start(): Promise<Report> {
    if (this.#state !== 'new') {
      const code = this.#state === 'stopped' ? 'ERR_ESPORA_CLOSED' : 'ERR_ESPORA_INVALID';
      return Promise.reject(new EsporaError(code, 'a service can be started only once'));
    }
    this.#state = 'starting';
    this.#starting = this.#native
      .start((name, detail) => this.#tell(name, detail))
      .then(
        (started) => {
          Object.freeze(started.addresses);
          if (this.#state === 'starting') this.#state = 'running';
          return started;
        },
        (error: unknown) => {
          this.#state = 'stopped';
          throw aboutSocket(toEsporaError(error), this.options);
        },
      );
    return this.#starting;
  }

  /**
   * Stops accepting, gives open connections at most the time `drain` to end, then ends them. Resolves
   * when all have ended. May be called again with a shorter time; before `start` it only forbids
   * starting.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    const drainMs = readDrain(options.drain);
    if (this.#state === 'new') this.#state = 'stopped';
    if (this.#state === 'stopped') return;
    try {
      await this.#starting;
    } catch {
      return; // The caller of start() gets the reason; nothing runs.
    }
    this.#state = 'stopping';
    try {
      await this.#native.stop(drainMs);
    } catch (error) {
      throw toEsporaError(error);
    } finally {
      this.#state = 'stopped';
    }
  }

  /** Counters; undefined unless the service runs. */
  stats(): Readonly<Stats> | undefined {
    if (this.#state !== 'running') return undefined;
    return this.#native.stats() as Stats;
  }

  #tell(name: string, detail: Readonly<Record<string, unknown>>): void {
    if (name === 'upstream') {
      this.emit('upstream', {
        address: String(detail['upstream']),
        state: detail['state'] as UpstreamState,
        health: detail['health'] as UpstreamHealth,
        reason: String(detail['message']),
      });
    }
    const event = readEvent(name, detail);
    if (event !== undefined) this.emit(event[0], event[1]);
  }

  /** The options in force, as the addon understood them. */
  [settingsInForce](): object {
    return this.#native.settings();
  }

  /** Whether a client from `address` (an IP address and a port, or a path) must send a PROXY header. */
  [owesHeader](address: string): boolean {
    return this.#native.owesHeader?.(address) ?? false;
  }

  /** Stops the service with the default drain time. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** The descriptors of inherited sockets: they follow standard error, sd_listen_fds(3). */
export function inheritedDescriptors(count: number): number[] {
  return Array.from({ length: count }, (_, index) => 3 + index);
}
