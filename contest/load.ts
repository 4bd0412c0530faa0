// The load: users that arrive at fixed times, regardless of earlier answers.
import type { Connection } from '#espora/lab/connection.js';
import { checkAccepted, checkDebit, checkStatement } from './checks.js';
import { Metronome } from './metronome.js';
import type { LoadPhase, LoadStream } from './plan.js';
import { randomTransaction } from './requests.js';
import { arrivalsOf, piecesOf } from './schedule.js';
import type { Arrivals } from './schedule.js';
import type { Stage, Step } from './stage.js';
import type { FailureGroup } from './tally.js';

// Time between the decision to start and the first arrival, in which the metronome's thread is told.
const leadMs = 20;
// A tick takes about this long to arrive; it is sent this much early, and the rest is spent spinning.
const tickMs = 0.12;
// Arrivals that are prepared while nothing is due; in the contest at most three are due at once.
const readyMax = 4;

/** A user that is prepared and only needs to start. */
interface ReadyUser {
  readonly connection: Connection;
  readonly step: Step;
}

/** Plays the load in turns, with the same arrivals and rates, so that others can be measured in between. */
export interface Turns {
  /** Length of each turn. */
  readonly seconds: number;
  /**
   * Awaited between two turns; nothing is sent or sampled during that time. It gets the number of failures so
   * far, and ends the run if it rejects.
   */
  readonly between: (failed: readonly FailureGroup[]) => Promise<void>;
}

export async function playLoad(stage: Stage, { streams }: LoadPhase, turns?: Turns): Promise<void> {
  const arrivals = arrivalsOf(streams);
  if (arrivals.atMs.length === 0) return;
  if (turns === undefined) {
    await playArrivals(stage, streams, arrivals);
    return;
  }
  for (const [index, piece] of piecesOf(arrivals, turns.seconds * 1000).entries()) {
    if (index > 0) await stage.pause(() => turns.between(stage.tally.failureGroups()));
    if (stage.stopped) return;
    await stage.takeTurn(() => playArrivals(stage, streams, piece));
  }
}

async function playArrivals(
  stage: Stage,
  streams: readonly LoadStream[],
  arrivals: Arrivals,
): Promise<void> {
  const metronome = await Metronome.create(arrivals.atMs);
  try {
    await new OpenLoad(stage, streams, arrivals, metronome).play();
  } finally {
    await metronome.stop();
  }
}

class OpenLoad {
  readonly #stage: Stage;
  readonly #streams: readonly LoadStream[];
  readonly #arrivals: Arrivals;
  readonly #metronome: Metronome;
  /** Users for the next arrivals, in order. */
  readonly #ready: ReadyUser[] = [];
  #startAt = 0;
  /** Users that started, and those that have ended. */
  #arrived = 0;
  #left = 0;
  #resolve: () => void = () => undefined;

  constructor(
    stage: Stage,
    streams: readonly LoadStream[],
    arrivals: Arrivals,
    metronome: Metronome,
  ) {
    this.#stage = stage;
    this.#streams = streams;
    this.#arrivals = arrivals;
    this.#metronome = metronome;
  }

  /** Resolves when the last user has ended, or after a stop when all have ended. */
  play(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#makeReady();
      this.#startAt = performance.now() + leadMs;
      this.#metronome.start(this.#startAt - tickMs, () => {
        this.#letIn();
      });
    });
  }

  /** Starts all users that are due. */
  #letIn(): void {
    const { atMs } = this.#arrivals;
    while (this.#arrived < atMs.length) {
      const intendedAt = this.#startAt + atMs[this.#arrived]!;
      if (intendedAt > performance.now() + tickMs || this.#stage.stopped) break;
      while (performance.now() < intendedAt);
      const { connection, step } = this.#ready.shift() ?? this.#make(this.#arrived);
      this.#arrived++;
      this.#stage.send(connection, step, intendedAt, (exchange) => {
        const { startedAt, connectedAt, endedAt } = exchange;
        this.#stage.player.record(intendedAt, startedAt, connectedAt, endedAt);
        this.#stage.release(connection);
        this.#left++;
        this.#endIfOver();
      });
    }
    this.#endIfOver();
    setImmediate(() => {
      this.#makeReady();
    });
  }

  #endIfOver(): void {
    const last = this.#stage.stopped || this.#arrived === this.#arrivals.atMs.length;
    if (last && this.#left === this.#arrived) this.#resolve();
  }

  #makeReady(): void {
    const most = Math.min(readyMax, this.#arrivals.atMs.length - this.#arrived);
    while (this.#ready.length < most && !this.#stage.stopped) {
      this.#ready.push(this.#make(this.#arrived + this.#ready.length));
    }
  }

  #make(index: number): ReadyUser {
    const { operation } = this.#streams[this.#arrivals.stream[index]!]!;
    return { connection: this.#stage.prepare(), step: this.#step(operation) };
  }

  #step(operation: LoadStream['operation']): Step {
    const { random, clients, writer } = this.#stage;
    if (operation === 'statement') {
      const client = clients[random.below(clients.length)]!;
      const account = this.#stage.account(client);
      return {
        operation,
        request: writer.statement(client),
        check: (exchange) => checkStatement(exchange, account),
      };
    }
    const type = operation === 'credit' ? 'c' : 'd';
    const transaction = randomTransaction(random, clients, type);
    const account = this.#stage.account(transaction.client);
    return {
      operation,
      request: writer.transaction(transaction),
      transaction,
      check: (exchange) =>
        type === 'c' ? checkAccepted(exchange, account) : checkDebit(exchange, account),
    };
  }
}
