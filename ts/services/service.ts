// What the three services have in common: a life that starts once and stops once, checked options,
// warnings. The work itself is done by the addon; no byte of a request comes through here.
import { EventEmitter } from 'node:events';
import { EsporaError, invalid, toEsporaError } from '../errors.js';
import { duration } from '../options/kinds.js';
import { asJson } from '../shown.js';
import { resolveServiceOptions } from '../options/resolve.js';
import type { ServiceInput, ServiceKind, ServiceValues } from '../options/table.js';
import type {
  NativeEventHandler,
  NativeStarted,
  UpstreamHealth,
  UpstreamState,
} from '../native.js';

/** Where a started service listens. */
export interface Listening {
  /**
   * The TCP port, if it listens on one: the kernel's choice where 0 was asked for, that of a socket that
   * was taken over where it has none of its own.
   */
  readonly port?: number;
  /** Path of the unix socket, if it listens on one. */
  readonly unixSocket?: string;
  /**
   * Every place where clients find it, as the kernel says: `host:port`, `[v6]:port`, a path; `@name` for
   * a unix socket without a path. TCP first, then the unix socket, then those that were taken over.
   */
  readonly addresses: readonly string[];
}

/** What the database found when it opened its store. */
export interface StoreOpened {
  /** Transactions in the store. */
  readonly records: number;
  /** Of those: were whole behind all that was proven durable, and were made durable now. */
  readonly unprovenRecords: number;
  /** Highest sequence number; 0 in an empty store. */
  readonly lastSeq: number;
  /** How long opening took, in milliseconds. */
  readonly openMs: number;
  /**
   * False: the file system refused O_DIRECT and the page cache is used, which is weaker; or `readOnly`,
   * where it was not tried.
   */
  readonly directIo: boolean;
  readonly fileSystem: string;
  /** How the log ended: `clean`, or `copied` (some were unproven). */
  readonly tail: string;
  /** True: no space for a new segment; reads only. */
  readonly readOnly: boolean;
  /** What a person should know, one sentence each. */
  readonly warnings: readonly string[];
}

/** What `start` of a service resolves with; the database's also says what it found. */
export interface Started extends Listening {
  readonly store?: StoreOpened;
}

/** Options of `stop`. */
export interface StopOptions {
  /** How long open connections may last, in milliseconds or as text with a unit; 5 s. */
  readonly drain?: number | string;
}

/** The addon's object behind a service; `start` says what the service's own `start` says. */
export interface NativeService<Report, Stats> {
  /** `onEvent` is called until it has stopped. */
  start(onEvent: NativeEventHandler): Promise<Report>;
  stop(drainMs: number): Promise<void>;
  stats(): Partial<Stats>;
  settings(): object;
  /** Of those who read PROXY headers: whether a client from `address` owes one. */
  owesHeader?(address: string): boolean;
}

/** Key of a service's method that tells whether a client from an address owes a PROXY header. */
export const owesHeader = Symbol('owes a header');

/** Key of a service's method that tells what its addon runs with. No part of the library's surface. */
export const settingsInForce = Symbol('settings in force');

interface ServiceEvents {
  /** Something is worth knowing; all is well. */
  notice: [message: string];
  /** Something should be looked at; the service goes on. */
  warning: [message: string];
  /** The store failed; what waits is answered with 503 and then the process ends by itself. */
  failed: [message: string];
  /** The state or the health of an upstream is another. */
  upstream: [
    change: {
      readonly address: string;
      readonly state: UpstreamState;
      readonly health: UpstreamHealth;
      readonly reason: string;
    },
  ];
}

type Sentence = readonly [kind: 'notice' | 'warning' | 'failed', message: string];

/** What the addon's events mean for a person. */
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

/** What a person should hear of an upstream that is another; that it answers well is said elsewhere. */
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
      return undefined; // A name that cannot be resolved: told as unreachable.
  }
}

type State = 'new' | 'starting' | 'running' | 'stopping' | 'stopped';

const drainKind = duration({ minMs: 0, maxMs: 600_000 });
const defaultDrainMs = 5000;

function readDrain(drain: number | string | undefined): number {
  const parsed = drainKind.schema.safeParse(drain ?? defaultDrainMs);
  if (parsed.success) return parsed.data;
  const message = `drain is ${asJson(drain)}: it must be ${drainKind.expected}`;
  throw invalid(message);
}

/** The same error; where it is about the unix socket, what to do is about that, and not a port. */
function aboutSocket(
  error: unknown,
  { unixSocket }: { readonly unixSocket?: string | undefined },
): unknown {
  if (!(error instanceof EsporaError) || error.code !== 'ERR_ESPORA_ADDRESS_IN_USE') return error;
  if (unixSocket === undefined || !error.message.includes(unixSocket)) return error;
  const remedy = '--unix-socket names it';
  return new EsporaError(error.code, error.message, { cause: error, remedy });
}

/** A service of this process. Made once, started once, stopped once. */
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
   * `create` makes the addon's object out of the checked options. Throws ERR_ESPORA_INVALID, with
   * one sentence, for options that cannot be right.
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
    const onEvent: NativeEventHandler = (name, detail) => this.#tell(name, detail);
    this.#starting = this.#native.start(onEvent).then(
      (started) => {
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
   * Accepts nothing new, lets open connections end for at most `drain`, then ends them. Resolves
   * when nothing is left. May be called again with less patience; before `start` it only forbids
   * starting.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    const drainMs = readDrain(options.drain);
    if (this.#state === 'new') this.#state = 'stopped';
    if (this.#state === 'stopped') return;
    try {
      await this.#starting;
    } catch {
      return; // Whoever called start() has the reason; nothing runs.
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

  /** Counters; undefined unless it runs. */
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

  /** What the addon runs with, as it understood it. */
  [settingsInForce](): object {
    return this.#native.settings();
  }

  /** Whether a client that comes from `address`, an IP address and a port or a path, owes a PROXY header. */
  [owesHeader](address: string): boolean {
    return this.#native.owesHeader?.(address) ?? false;
  }

  /** Stops it with the default drain time. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** The descriptors of sockets that a service manager opened: behind standard error, sd_listen_fds(3). */
export function inheritedDescriptors(count: number): number[] {
  return Array.from({ length: count }, (_, index) => 3 + index);
}

/** Where it listens, out of what the addon says. */
export function listeningOf({ port, unixSocket, addresses }: NativeStarted): Listening {
  return {
    ...(port === undefined ? {} : { port }),
    ...(unixSocket === undefined ? {} : { unixSocket }),
    addresses: Object.freeze([...addresses]),
  };
}
