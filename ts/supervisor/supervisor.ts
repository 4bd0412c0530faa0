// Starts a topology's services in order, brings crashed ones back, stops all in reverse order.
import { EsporaError } from '../errors.js';
import type { Measured } from '../metrics/measured.js';
import type { Started } from '../services/service.js';
import type { ServicePlan } from '../topology/topology.js';
import { nextDelay, restartPolicy } from './back-off.js';
import type { BackOffPolicy } from './back-off.js';
import { ServiceProcess } from './service-process.js';
import type { ServiceCommand, ServiceEnd } from './service-process.js';

/** What happens, for lines, logs and tests. */
export type SupervisorEvent =
  | {
      readonly event: 'service-ready';
      readonly service: string;
      readonly kind: ServicePlan['kind'];
      readonly pid: number;
      /** How often it was started before. */
      readonly restarts: number;
      readonly upstreams: readonly string[];
      readonly started: Started;
    }
  | { readonly event: 'ready'; readonly elapsedMs: number }
  | { readonly event: 'service-slow'; readonly service: string; readonly elapsedMs: number }
  | {
      readonly event: 'service-crashed';
      readonly service: string;
      /** Completes "the service …". */
      readonly reason: string;
      readonly restartInMs: number;
    }
  /** A service ended in a way that ends the whole; said before the others are stopped. */
  | { readonly event: 'failed'; readonly reason: string; readonly exitCode: number }
  /** How many services still run. */
  | { readonly event: 'stopping'; readonly services: number }
  | { readonly event: 'stopping-at-once' }
  | { readonly event: 'service-stopping'; readonly service: string }
  | { readonly event: 'service-stopped'; readonly service: string; readonly killed: boolean }
  | { readonly event: 'stopped' };

/** What a supervisor is made of. */
export interface SupervisorOptions {
  /** In start order. */
  readonly plans: readonly ServicePlan[];
  readonly commandOf: (plan: ServicePlan) => ServiceCommand;
  readonly onEvent: (event: SupervisorEvent) => void;
  /** How long a service may drain; one that takes much longer is killed. */
  readonly drainMs: number;
  /** The private directory for sockets, which services remove if we can't. */
  readonly runDirectory?: string | undefined;
  readonly backOff?: BackOffPolicy;
  /** How much longer than that it may take to end before it is killed. */
  readonly stopGraceMs?: number;
}

// Beyond its drain time a service gets this long to end before it is killed, unless told otherwise.
const defaultStopGraceMs = 5000;
// Told to end at once, it gets this long.
const atOnceGraceMs = 1000;
// A service that is not ready after this long is reported, and again each time it passes.
const slowStartMs = 10_000;

class SupervisedService {
  readonly plan: ServicePlan;
  process: ServiceProcess | undefined;
  readySince: number | undefined;
  everReady = false;
  restarts = 0;
  delayMs = 0;
  restartTimer: NodeJS.Timeout | undefined;
  killTimer: NodeJS.Timeout | undefined;
  killed = false;
  /** Called once, when the first life becomes ready or ends. */
  onFirstOutcome: (() => void) | undefined;
  /** Called once, when the present life ends. */
  onEnded: (() => void) | undefined;

  constructor(plan: ServicePlan) {
    this.plan = plan;
  }
}

/**
 * `start` brings everything up; `ended` is fulfilled when everything is down again: with undefined
 * after `stop`, with the reason if a service could not be started or must not be restarted.
 */
export class Supervisor {
  readonly ended: Promise<ServiceEnded | undefined>;
  readonly #options: SupervisorOptions;
  readonly #services: readonly SupervisedService[];
  readonly #startedAt = performance.now();
  #end!: (reason: ServiceEnded | undefined) => void;
  #stopping = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#services = options.plans.map((plan) => new SupervisedService(plan));
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Starts the services one after the other; returns when all are ready or `stop` was called. */
  async start(): Promise<void> {
    for (const service of this.#services) {
      if (this.#stopping) return;
      this.#spawn(service);
      await this.#firstReady(service);
    }
    if (!this.#stopping) {
      this.#emit({ event: 'ready', elapsedMs: performance.now() - this.#startedAt });
    }
  }

  /** Stops all in reverse order, each after the one before it ended. Later calls join the first. */
  async stop(): Promise<void> {
    this.#stopAll(undefined);
    await this.ended;
  }

  /**
   * Like `stop`, but connections get no time to end, and what does not end right away is killed.
   * The store is made for that: nothing that was answered is lost.
   */
  stopAtOnce(): Promise<void> {
    const stopped = this.stop();
    this.#emit({ event: 'stopping-at-once' });
    for (const service of this.#services) {
      service.process?.send({ type: 'stop-at-once' });
      this.#killAfter(service, atOnceGraceMs);
    }
    return stopped;
  }

  /** What each service that runs says about itself, in start order. */
  async measure(): Promise<readonly Measured[]> {
    const measured = await Promise.all(
      this.#services.map(async ({ plan: { name, kind }, process, restarts }) => {
        const stats = await process?.stats();
        return stats === undefined ? [] : [{ name, kind, restarts, ...stats }];
      }),
    );
    return measured.flat();
  }

  /** Process id of each service that runs, by name. */
  pids(): ReadonlyMap<string, number> {
    return new Map(
      this.#services.flatMap(({ plan, process }) =>
        process?.pid === undefined ? [] : [[plan.name, process.pid] as const],
      ),
    );
  }

  #emit(event: SupervisorEvent): void {
    this.#options.onEvent(event);
  }

  #spawn(service: SupervisedService): void {
    service.restartTimer = undefined;
    service.readySince = undefined;
    const life = new ServiceProcess(this.#options.commandOf(service.plan), {
      ready: (started) => {
        service.readySince = performance.now();
        service.everReady = true;
        this.#emit({
          event: 'service-ready',
          service: service.plan.name,
          kind: service.plan.kind,
          pid: life.pid!,
          restarts: service.restarts,
          upstreams: service.plan.upstreams,
          started,
        });
        service.onFirstOutcome?.();
      },
      ended: (end) => {
        service.process = undefined;
        clearTimeout(service.killTimer);
        this.#afterEnd(service, end);
        service.onFirstOutcome?.();
        service.onEnded?.();
      },
    });
    service.process = life;
    const { runDirectory } = this.#options;
    if (runDirectory !== undefined) life.send({ type: 'run-directory', path: runDirectory });
  }

  async #firstReady(service: SupervisedService): Promise<void> {
    const startedAt = performance.now();
    const slow = setInterval(() => {
      const elapsedMs = performance.now() - startedAt;
      this.#emit({ event: 'service-slow', service: service.plan.name, elapsedMs });
    }, slowStartMs);
    await new Promise<void>((resolve) => {
      service.onFirstOutcome = resolve;
    });
    clearInterval(slow);
  }

  #afterEnd(service: SupervisedService, end: ServiceEnd): void {
    if (this.#stopping) return;
    const { name } = service.plan;
    if (!service.everReady || end.exitCode === 3) {
      const verb = service.everReady ? 'ended for good' : 'did not start';
      this.#stopAll(new ServiceEnded(`${name} ${verb}: ${end.message ?? end.how}`, end.exitCode));
      return;
    }
    const readyForMs =
      service.readySince === undefined ? 0 : performance.now() - service.readySince;
    const policy = this.#options.backOff ?? restartPolicy;
    service.delayMs = nextDelay(policy, service.delayMs, readyForMs);
    service.restarts++;
    this.#emit({
      event: 'service-crashed',
      service: name,
      reason: end.message === undefined ? end.how : `did not start: ${end.message}`,
      restartInMs: service.delayMs,
    });
    service.restartTimer = setTimeout(() => {
      this.#spawn(service);
    }, service.delayMs);
  }

  #stopAll(reason: ServiceEnded | undefined): void {
    if (this.#stopping) return;
    this.#stopping = true;
    void this.#stopInOrder(reason);
  }

  async #stopInOrder(reason: ServiceEnded | undefined): Promise<void> {
    if (reason !== undefined) {
      this.#emit({ event: 'failed', reason: reason.message, exitCode: reason.exitCode });
    }
    for (const service of this.#services) clearTimeout(service.restartTimer);
    const running = this.#services.filter(({ process }) => process !== undefined);
    this.#emit({ event: 'stopping', services: running.length });
    for (const service of this.#services.toReversed()) await this.#stopOne(service);
    this.#emit({ event: 'stopped' });
    this.#end(reason);
  }

  async #stopOne(service: SupervisedService): Promise<void> {
    if (service.process === undefined) return;
    const { name } = service.plan;
    this.#emit({ event: 'service-stopping', service: name });
    const ended = new Promise<void>((resolve) => {
      service.onEnded = resolve;
    });
    service.process.signal('SIGTERM');
    this.#killAfter(
      service,
      this.#options.drainMs + (this.#options.stopGraceMs ?? defaultStopGraceMs),
    );
    await ended;
    this.#emit({ event: 'service-stopped', service: name, killed: service.killed });
  }

  #killAfter(service: SupervisedService, ms: number): void {
    clearTimeout(service.killTimer);
    service.killTimer = setTimeout(() => {
      if (service.process === undefined) return;
      service.killed = true;
      service.process.signal('SIGKILL');
    }, ms);
  }
}

/** A service ended in a way that ends the whole; `exitCode` is what the whole ends with. */
export class ServiceEnded extends EsporaError {
  readonly exitCode: 1 | 2 | 3;

  constructor(message: string, exitCode: number | undefined) {
    super('ERR_ESPORA_SERVICE', message);
    this.exitCode = exitCode === 2 || exitCode === 3 ? exitCode : 1;
  }
}
