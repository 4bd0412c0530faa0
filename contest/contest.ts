// Plays a plan against a running service and returns the result.
import type { Target } from '#espora/lab/connection.js';
import { readSurroundings } from '#espora/lab/surroundings.js';
import { playLoad } from './load.js';
import type { Turns } from './load.js';
import { operations, requestsOf, requestsOfPhase } from './plan.js';
import type { LoadPhase, Operation, Phase, Plan } from './plan.js';
import type { ContestResult, PhasePart, PhaseResult } from './result.js';
import type { Sampler } from './samplers.js';
import { prizeOf } from './score.js';
import { auditBalances, authorityOf, requireFreshStore, resolveTarget } from './service.js';
import { waitForService } from './service.js';
import type { Address, AuditedBalance } from './service.js';
import { Stage } from './stage.js';
import type { Figures } from './tally.js';
import { playBalance, playBurst, playSessions } from './validations.js';

/** The progress of a run. */
export interface Progress {
  readonly phase: string;
  readonly elapsedMs: number;
  readonly planned: number;
  readonly answered: number;
  readonly failures: number;
  readonly connections: number;
}

export interface ContestOptions extends Address {
  readonly plan: Plan;
  /** Seed of the load's random clients, values and descriptions. */
  readonly seed: number;
  /** How long the service may take to give its first answer. Default 40 s. */
  readonly waitMs?: number;
  /** How long an answer may take. Default 60 s, as in the contest. */
  readonly requestTimeoutMs?: number;
  /** Ends the run early; its result says so. */
  readonly signal?: AbortSignal;
  /** Called once, if the service does not answer at once, with the reason. */
  readonly onWait?: (reason: string) => void;
  /** Called a few times a second. */
  readonly onProgress?: (progress: Progress) => void;
  /** Sampled once a second during the run: what the services use. */
  readonly samplers?: readonly Sampler[];
  /** If given, the load is played in turns. */
  readonly turns?: Turns;
}

const waitMsDefault = 40_000;
const requestTimeoutMsDefault = 60_000;
const progressEveryMs = 250;
const rowEveryMs = 1000;

/**
 * Waits for the service, checks that its store is fresh, and plays. Rejects with an EsporaError if that is
 * impossible: `_UNAVAILABLE`, or `_INVALID` if the store is not fresh.
 */
export async function playContest(options: ContestOptions): Promise<ContestResult> {
  const { plan, waitMs = waitMsDefault, signal, onWait } = options;
  const authority = authorityOf(options);
  const target = await resolveTarget(options);
  const client = plan.accounts[0]!.id;
  if (await waitForService({ target, authority, client, waitMs, signal, onWait })) {
    await requireFreshStore(target, authority, plan.accounts);
  }
  return new Run(options, target, authority).play();
}

export interface PhasesOptions extends Omit<ContestOptions, 'waitMs' | 'onWait' | keyof Address> {
  readonly target: Target;
  /** The service's name in requests and in the result. */
  readonly authority: string;
}

/** Plays only the phases: without waiting, without checking that the store is fresh, without audit. */
export async function playPhases(options: PhasesOptions): Promise<ContestResult> {
  return new Run(options, options.target, options.authority, false).play();
}

type RunOptions = Omit<ContestOptions, 'waitMs' | 'onWait' | keyof Address>;

class Run {
  readonly #options: RunOptions;
  readonly #target: Target;
  readonly #authority: string;
  readonly #audited: boolean;
  readonly #stage: Stage;
  readonly #startedAt = new Date();
  // Before the first request, because git runs as another process.
  readonly #surroundings = readSurroundings();
  readonly #phases: PhaseResult[] = [];

  constructor(options: RunOptions, target: Target, authority: string, audited = true) {
    const { plan, seed, samplers = [], requestTimeoutMs = requestTimeoutMsDefault } = options;
    this.#options = options;
    this.#target = target;
    this.#authority = authority;
    this.#audited = audited;
    this.#stage = new Stage({ target, authority, plan, seed, samplers, requestTimeoutMs });
  }

  async play(): Promise<ContestResult> {
    const { plan, signal } = this.#options;
    const stage = this.#stage;
    const stop = (): void => {
      stage.stop();
    };
    signal?.addEventListener('abort', stop);
    if (signal?.aborted === true) stop();
    const progress = setInterval(() => {
      this.#options.onProgress?.(this.#progress());
    }, progressEveryMs);
    const rows = setInterval(() => {
      if (!stage.paused) stage.timeline.tick(this.#elapsedMs(), stage.phase);
    }, rowEveryMs);
    try {
      for (const phase of plan.phases) await this.#playPhase(phase);
    } finally {
      clearInterval(progress);
      clearInterval(rows);
      signal?.removeEventListener('abort', stop);
    }
    const durationMs = this.#elapsedMs();
    stage.timeline.tick(durationMs, stage.phase);
    this.#options.onProgress?.(this.#progress());
    const audit =
      stage.stopped || !this.#audited
        ? []
        : await auditBalances(this.#target, this.#authority, plan.accounts, stage.books);
    return this.#result(durationMs, audit);
  }

  async #playPhase(phase: Phase): Promise<void> {
    const { tally } = this.#stage;
    if (this.#stage.stopped) return;
    const { requests, failures } = tally;
    const startMs = this.#elapsedMs();
    this.#stage.phase = phase.title;
    await play(this.#stage, phase, this.#options.turns);
    this.#phases.push({
      title: phase.title,
      startMs: Math.round(startMs),
      endMs: Math.round(this.#elapsedMs()),
      planned: requestsOfPhase(phase, this.#options.plan.accounts),
      requests: tally.requests - requests,
      failures: tally.failures - failures,
      ...(phase.kind === 'load' ? { parts: partsOf(phase, startMs) } : {}),
    });
  }

  #elapsedMs(): number {
    return performance.now() - this.#stage.startedAt;
  }

  #progress(): Progress {
    const { phase, tally, connections } = this.#stage;
    return {
      phase,
      elapsedMs: this.#elapsedMs(),
      planned: requestsOf(this.#options.plan),
      answered: tally.requests,
      failures: tally.failures,
      connections,
    };
  }

  #result(durationMs: number, audit: readonly AuditedBalance[]): ContestResult {
    const { plan, seed } = this.#options;
    const { tally, player, timeline, turns, stopped } = this.#stage;
    const wrong = tally.failures > 0 || audit.some(({ problem }) => problem !== undefined);
    return {
      version: 1,
      outcome: stopped ? 'interrupted' : wrong ? 'failed' : 'passed',
      service: `http://${this.#authority}`,
      plan: plan.name,
      seed,
      startedAt: this.#startedAt.toISOString(),
      surroundings: this.#surroundings,
      durationMs: Math.round(durationMs),
      plannedRequests: requestsOf(plan),
      requests: tally.requests,
      failures: tally.failures,
      inconsistencies: tally.inconsistencies,
      fastPercent: tally.fastPercent,
      prize: prizeOf(tally.fastPercent, tally.inconsistencies),
      all: tally.all(),
      operations: Object.fromEntries(
        operations.map((operation) => [operation, tally.of(operation)]),
      ) as Record<Operation, Figures>,
      failureGroups: tally.failureGroups(),
      audit,
      phases: this.#phases,
      timeline: timeline.rows(),
      player: player.figures(),
      ...(turns.length > 0 ? { turns } : {}),
    };
  }
}

/** The parts of a load, in milliseconds after the run began. Its streams change together. */
function partsOf({ streams }: LoadPhase, startMs: number): PhasePart[] {
  let at = startMs;
  return (streams[0]?.steps ?? []).map(({ fromPerSecond, toPerSecond, seconds }) => {
    const from = at;
    at += seconds * 1000;
    const title = fromPerSecond === toPerSecond ? 'plateau' : 'ramp';
    return { title, startMs: Math.round(from), endMs: Math.round(at) };
  });
}

function play(stage: Stage, phase: Phase, turns: Turns | undefined): Promise<void> {
  switch (phase.kind) {
    case 'burst':
      return playBurst(stage, phase);
    case 'balance':
      return playBalance(stage, phase);
    case 'sessions':
      return playSessions(stage, phase);
    case 'load':
      return playLoad(stage, phase, turns);
  }
}
