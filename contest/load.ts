// The load: users who arrive by the clock, whatever became of those before them.
import type { Connection } from '#espora/lab/connection.js';
import { checkAccepted, checkDebit, checkStatement } from './checks.js';
import { Metronome } from './metronome.js';
import type { LoadPhase, LoadStream } from './plan.js';
import { randomTransaction } from './requests.js';
import { arrivalsOf, piecesOf } from './schedule.js';
import type { Arrivals } from './schedule.js';
import type { Stage, Step } from './stage.js';
import type { FailureGroup } from './tally.js';

// Time between the decision to start and the first arrival, for the metronome's thread to hear of it.
const leadMs = 20;
// A tick takes about this long to arrive: it is sent so much early, and what is left is spun away.
const tickMs = 0.12;
// Arrivals that are made ready while nothing is due; the contest's come at most three at once.
const readyMax = 4;

/** A user who only has to be let in. */
interface ReadyUser {
  readonly connection: Connection;
  readonly step: Step;
}

/** Lets others have their turns in between: the load is played in pieces, arrivals and rates being the same. */
export interface Turns {
  /** Of the load in each turn. */
  readonly seconds: number;
  /**
   * Awaited between two turns; nothing is sent or looked at meanwhile. It is told what failed so far, and
   * ends the run where it rejects.
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
  /** Arrivals let in, and those of them who left again. */
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

  /** Resolves when the last user has left, or when the stage was stopped and all are gone. */
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

  /** Lets in all who are due. */
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
