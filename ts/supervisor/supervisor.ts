// Starts a topology's services in order, restarts crashed ones, stops all in reverse order.
import { EsporaError } from '../errors.js';
import type { Measured } from '../metrics/measured.js';
import type { Started } from '../services/service.js';
import type { ServicePlan } from '../topology/topology.js';
import { nextDelay, restartPolicy, type BackOffPolicy } from './back-off.js';
import { lifeTable, type LifeAction, type LifeEvent, type LifeState } from './life.js';
import { ServiceProcess, type ServiceCommand, type ServiceEnd } from './service-process.js';

/** What a supervisor reports, for output, logs and tests. */
export type SupervisorEvent =
  | {
      readonly event: 'service-ready';
      readonly service: string;
      readonly kind: ServicePlan['kind'];
      readonly pid: number;
      /** How often it was restarted. */
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
  /** A service ended so that everything must stop; reported before the others are stopped. */
  | { readonly event: 'failed'; readonly reason: string; readonly exitCode: number }
  /** How many services still run. */
  | { readonly event: 'stopping'; readonly services: number }
  | { readonly event: 'stopping-at-once' }
  | { readonly event: 'service-stopping'; readonly service: string }
  | { readonly event: 'service-stopped'; readonly service: string; readonly killed: boolean }
  | { readonly event: 'stopped' };

export interface SupervisorOptions {
  /** In start order. */
  readonly plans: readonly ServicePlan[];
  readonly commandOf: (plan: ServicePlan) => ServiceCommand;
  readonly onEvent: (event: SupervisorEvent) => void;
  /** How long a service may drain. */
  readonly drainMs: number;
  /** The private directory for sockets, which services remove if the supervisor cannot. */
  readonly runDirectory?: string | undefined;
  readonly backOff?: BackOffPolicy;
  /** How long a service may take to end after its drain time before it is killed. */
  readonly stopGraceMs?: number;
}

const defaultStopGraceMs = 5000;
// The same for a service that was told to stop at once.
const atOnceGraceMs = 1000;
// A service that is not ready is reported each time this has passed.
const slowStartMs = 10_000;

class SupervisedService {
  readonly plan: ServicePlan;
  state: LifeState = 'idle';
  process: ServiceProcess | undefined;
  /** When the current process reported that it is ready. */
  readySince: number | undefined;
  /** The report of that process. */
  started: Started | undefined;
  /** How its last process ended. */
  end: ServiceEnd | undefined;
  restarts = 0;
  delayMs = 0;
  /** The timer of `wait over` or of `time over`; both never run at once. */
  timer: NodeJS.Timeout | undefined;
  killed = false;
  /** Fulfilled when it is ready for the first time, or over without having been ready. */
  readonly settled: Promise<void>;
  /** Fulfilled when it is over. */
  readonly over: Promise<void>;
  settle!: () => void;
  finish!: () => void;

  constructor(plan: ServicePlan) {
    this.plan = plan;
    this.settled = new Promise((resolve) => {
      this.settle = resolve;
    });
    this.over = new Promise((resolve) => {
      this.finish = resolve;
    });
  }
}

/**
 * `start` starts everything; `ended` is fulfilled when everything has stopped: with undefined after
 * `stop`, with the reason if a service could not be started or must not be restarted.
 */
export class Supervisor {
  readonly ended: Promise<ServiceEnded | undefined>;
  readonly #options: SupervisorOptions;
  readonly #services: readonly SupervisedService[];
  readonly #startedAt = performance.now();
  readonly #actions: Readonly<Record<LifeAction, (service: SupervisedService) => void>> = {
    spawn: (service) => this.#spawn(service),
    announce: (service) => this.#announce(service),
    'back off': (service) => this.#backOff(service),
    'cancel the wait': ({ timer }) => clearTimeout(timer),
    'give up': (service) => this.#giveUp(service),
    terminate: (service) => {
      this.#emit({ event: 'service-stopping', service: service.plan.name });
      const { drainMs, stopGraceMs = defaultStopGraceMs } = this.#options;
      service.process!.signal('SIGTERM');
      this.#after(drainMs + stopGraceMs, service, 'time over');
    },
    // The signal is for a process that does not listen to messages yet, or no longer does.
    cut: (service) => {
      service.process!.send({ type: 'stop-at-once' });
      service.process!.signal('SIGTERM');
      this.#after(atOnceGraceMs, service, 'time over');
    },
    kill: (service) => {
      service.killed = true;
      service.process!.signal('SIGKILL');
    },
    'report the end': ({ plan, killed }) =>
      this.#emit({ event: 'service-stopped', service: plan.name, killed }),
  };
  #end!: (reason: ServiceEnded | undefined) => void;
  #phase: 'running' | 'stopping' | 'stopping at once' | 'stopped' = 'running';

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#services = options.plans.map((plan) => new SupervisedService(plan));
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Starts the services one after the other; resolves when all are ready or `stop` was called. */
  async start(): Promise<void> {
    for (const service of this.#services) {
      if (this.#phase !== 'running') return;
      this.#happen(service, 'start');
      await this.#firstReady(service);
    }
    if (this.#phase === 'running') {
      this.#emit({ event: 'ready', elapsedMs: performance.now() - this.#startedAt });
    }
  }

  /** Stops the services in reverse order, one after the other. Later calls join the first. */
  async stop(): Promise<void> {
    this.#stopAll(undefined);
    await this.ended;
  }

  /**
   * Like `stop`, but connections get no time to end, and a process that does not end at once is killed.
   * Nothing that was answered is lost. Later calls join the first.
   */
  stopAtOnce(): Promise<void> {
    const stopped = this.stop();
    if (this.#phase === 'stopping') {
      this.#phase = 'stopping at once';
      this.#emit({ event: 'stopping-at-once' });
      for (const service of this.#services) this.#happen(service, 'at once');
    }
    return stopped;
  }

  /** The counters of each service, in start order. One that does not answer in time counts as down. */
  measure(): Promise<readonly Measured[]> {
    return Promise.all(
      this.#services.map(async ({ plan: { name, kind }, process, restarts }) => {
        const stats = await process?.stats();
        return { name, kind, restarts, up: stats !== undefined, ...stats };
      }),
    );
  }

  /** Process ids of the running services, by name. */
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

  #happen(service: SupervisedService, event: LifeEvent): void {
    const step = lifeTable[service.state][event];
    if (step === undefined) {
      throw new Error(
        `bug: "${event}" happened to ${service.plan.name}, which is ${service.state}`,
      );
    }
    // First of all: a listener of the action may cause the next event.
    service.state = step.to;
    if (step.action !== undefined) this.#actions[step.action](service);
    if (step.to === 'ready' || step.to === 'over') service.settle();
    if (step.to === 'over') service.finish();
  }

  #after(ms: number, service: SupervisedService, event: 'wait over' | 'time over'): void {
    clearTimeout(service.timer);
    service.timer = setTimeout(() => this.#happen(service, event), ms);
  }

  #spawn(service: SupervisedService): void {
    service.readySince = undefined;
    const process = new ServiceProcess(this.#options.commandOf(service.plan), {
      ready: (started) => {
        service.readySince = performance.now();
        service.started = started;
        this.#happen(service, 'ready');
      },
      ended: (end) => {
        clearTimeout(service.timer);
        service.process = undefined;
        service.end = end;
        this.#happen(service, end.exitCode === 3 ? 'ended for good' : 'ended');
      },
    });
    service.process = process;
    const { runDirectory } = this.#options;
    if (runDirectory !== undefined) process.send({ type: 'run-directory', path: runDirectory });
  }

  #announce({ plan, process, restarts, started }: SupervisedService): void {
    this.#emit({
      event: 'service-ready',
      service: plan.name,
      kind: plan.kind,
      pid: process!.pid!,
      restarts,
      upstreams: plan.upstreams,
      started: started!,
    });
  }

  #backOff(service: SupervisedService): void {
    const { readySince, end } = service;
    const policy = this.#options.backOff ?? restartPolicy;
    const readyForMs = readySince === undefined ? 0 : performance.now() - readySince;
    service.delayMs = nextDelay(policy, service.delayMs, readyForMs);
    service.restarts++;
    this.#after(service.delayMs, service, 'wait over');
    this.#emit({
      event: 'service-crashed',
      service: service.plan.name,
      reason: end!.message === undefined ? end!.how : `did not start: ${end!.message}`,
      restartInMs: service.delayMs,
    });
  }

  #giveUp({ plan, readySince, restarts, end }: SupervisedService): void {
    const verb = readySince === undefined && restarts === 0 ? 'did not start' : 'ended for good';
    const reason = `${plan.name} ${verb}: ${end!.message ?? end!.how}`;
    this.#stopAll(new ServiceEnded(reason, end!.exitCode));
  }

  async #firstReady(service: SupervisedService): Promise<void> {
    const startedAt = performance.now();
    const slow = setInterval(() => {
      const elapsedMs = performance.now() - startedAt;
      this.#emit({ event: 'service-slow', service: service.plan.name, elapsedMs });
    }, slowStartMs);
    await service.settled;
    clearInterval(slow);
  }

  #stopAll(reason: ServiceEnded | undefined): void {
    if (this.#phase !== 'running') return;
    this.#phase = 'stopping';
    for (const service of this.#services) this.#happen(service, 'stop');
    void this.#stopInOrder(reason);
  }

  async #stopInOrder(reason: ServiceEnded | undefined): Promise<void> {
    if (reason !== undefined) {
      this.#emit({ event: 'failed', reason: reason.message, exitCode: reason.exitCode });
    }
    const running = this.#services.filter(({ process }) => process !== undefined);
    this.#emit({ event: 'stopping', services: running.length });
    for (const service of this.#services.toReversed()) {
      this.#happen(service, 'turn');
      await service.over;
    }
    this.#phase = 'stopped';
    this.#emit({ event: 'stopped' });
    this.#end(reason);
  }
}

/** A service ended so that everything must stop; `exitCode` is that of the whole. */
export class ServiceEnded extends EsporaError {
  readonly exitCode: 1 | 2 | 3;

  constructor(message: string, exitCode: number | undefined) {
    super('ERR_ESPORA_SERVICE', message);
    this.exitCode = exitCode === 2 || exitCode === 3 ? exitCode : 1;
  }
}
