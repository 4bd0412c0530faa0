// Opens connections for the phases, sends their requests, checks each answer and counts it.
import { Connection } from '#espora/lab/connection.js';
import type { Exchange, Target } from '#espora/lab/connection.js';
import { Random } from '#espora/lab/random.js';
import type { Account } from '#espora/options/accounts.js';
import { Books, outcomeOf } from './books.js';
import type { Verdict } from './checks.js';
import { LatencyHistogram } from './latency.js';
import type { Percentiles } from './latency.js';
import type { Operation, Plan } from './plan.js';
import { RequestWriter } from './requests.js';
import type { Request, Transaction } from './requests.js';
import { PlayerSampler } from './samplers.js';
import type { Sampler } from './samplers.js';
import { Tally } from './tally.js';
import { Timeline } from './timeline.js';

/** One request of one user, with the check of its answer. */
export interface Step {
  readonly operation: Operation;
  readonly request: Request;
  /** The transaction of the request, if it may be accepted. */
  readonly transaction?: Transaction;
  readonly check: (exchange: Exchange) => Verdict;
}

/** The answers of one turn of a load. */
export interface TurnFigures {
  readonly requests: number;
  readonly latencyMs: Percentiles;
}

export interface StageOptions {
  readonly target: Target;
  readonly authority: string;
  readonly plan: Plan;
  readonly seed: number;
  readonly requestTimeoutMs: number;
  /** Sampled once a second, in addition to the player. */
  readonly samplers?: readonly Sampler[];
}

export class Stage {
  readonly accounts: ReadonlyMap<number, Account>;
  readonly clients: readonly number[];
  readonly writer: RequestWriter;
  readonly random: Random;
  readonly tally = new Tally();
  readonly books: Books;
  readonly player = new PlayerSampler();
  readonly timeline: Timeline;
  readonly startedAt = performance.now();
  /** Title of the current phase. */
  phase = '';
  /** True between two turns of a load. */
  paused = false;
  /** Latencies of each turn of a load that is played in turns. */
  readonly turns: TurnFigures[] = [];
  #stopped = false;
  #turn: LatencyHistogram | undefined;
  readonly #target: Target;
  readonly #requestTimeoutMs: number;
  readonly #open = new Set<Connection>();

  constructor(options: StageOptions) {
    const { target, authority, plan, seed, requestTimeoutMs, samplers = [] } = options;
    this.timeline = new Timeline([this.player, ...samplers]);
    this.accounts = new Map(plan.accounts.map((account) => [account.id, account]));
    this.clients = plan.accounts.map(({ id }) => id);
    this.writer = new RequestWriter(authority);
    this.random = new Random(seed);
    this.books = new Books(this.clients);
    this.#target = target;
    this.#requestTimeoutMs = requestTimeoutMs;
  }

  /** True after a stop: nothing more may be sent. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Connections that are open or being opened. */
  get connections(): number {
    return this.#open.size;
  }

  account(client: number): Account {
    return this.accounts.get(client)!;
  }

  /** Prepares a connection of one user; nothing is sent yet. */
  prepare(): Connection {
    return new Connection(this.#target, this.#requestTimeoutMs);
  }

  /** Ends a user's connection. */
  release(connection: Connection): void {
    this.#open.delete(connection);
    connection.close();
  }

  /**
   * Sends a step on `connection`; `done` is called once with its answer, checked and booked, with a
   * latency that counts from `intendedAt`. After a stop, answers are passed on without being counted.
   */
  send(
    connection: Connection,
    step: Step,
    intendedAt: number,
    done: (exchange: Exchange) => void,
  ): void {
    this.#open.add(connection);
    connection.request(step.request.bytes, (exchange) => {
      if (exchange.problem?.code !== 'abandoned') this.#book(step, intendedAt, exchange);
      done(exchange);
    });
  }

  /** Plays one turn of a load, timed by itself. */
  async takeTurn(play: () => Promise<void>): Promise<void> {
    const turn = new LatencyHistogram();
    this.#turn = turn;
    await play();
    this.turns.push({ requests: turn.count, latencyMs: turn.percentiles() });
  }

  /** Waits without being sampled. */
  async pause(until: () => Promise<void>): Promise<void> {
    this.paused = true;
    await until();
    this.paused = false;
  }

  /** Stops sending; requests under way end without being counted. */
  stop(): void {
    this.#stopped = true;
    for (const connection of [...this.#open]) this.release(connection);
  }

  #book(step: Step, intendedAt: number, exchange: Exchange): void {
    const fault = step.check(exchange);
    const latencyMs = exchange.endedAt - intendedAt;
    const { operation, request, transaction } = step;
    this.tally.record({ phase: this.phase, operation, request, latencyMs, fault });
    this.timeline.record(latencyMs, fault !== undefined);
    this.#turn?.record(latencyMs);
    if (transaction !== undefined) this.books.enter(transaction, outcomeOf(exchange, fault));
  }
}
