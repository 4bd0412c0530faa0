// The phases before the load: bursts after which the balance must be right, and for each account a sequence
// of statements, transactions and bad requests.
import type { Connection, Exchange } from '#espora/lab/connection.js';
import type { Account } from '#espora/options/accounts.js';
import { checkAccepted, checkStatement, checkStatus, saldoOf } from './checks.js';
import type { ListedTransaction } from './checks.js';
import type { BalancePhase, BurstPhase, SessionsPhase, TransactionType } from './plan.js';
import { badBodies } from './requests.js';
import type { Transaction } from './requests.js';
import type { Stage, Step } from './stage.js';

/** One virtual user: one connection for its session, and a new one if the server closed it. */
class User {
  readonly #stage: Stage;
  readonly #connections: Connection[] = [];
  /** The intended time of the next request: when the previous one is answered. */
  #intendedAt: number;

  constructor(stage: Stage, comesAt: number) {
    this.#stage = stage;
    this.#intendedAt = comesAt;
  }

  /** Sends a step and resolves with its answer, checked and booked. */
  async ask(step: Step): Promise<Exchange> {
    const [exchange] = await this.askAtOnce([step]);
    return exchange!;
  }

  /** Sends steps at the same time, each on its own connection. */
  async askAtOnce(steps: readonly Step[]): Promise<readonly Exchange[]> {
    const intendedAt = this.#intendedAt;
    const exchanges = await Promise.all(
      steps.map((step, index) => this.#send(index, step, intendedAt)),
    );
    this.#intendedAt = Math.max(...exchanges.map(({ endedAt }) => endedAt));
    return exchanges;
  }

  leave(): void {
    for (const connection of this.#connections) this.#stage.release(connection);
  }

  #send(index: number, step: Step, intendedAt: number): Promise<Exchange> {
    let connection = this.#connections[index];
    if (connection?.reusable !== true) {
      if (connection !== undefined) this.#stage.release(connection);
      connection = this.#stage.prepare();
      this.#connections[index] = connection;
    }
    return new Promise((resolve) => {
      this.#stage.send(connection, step, intendedAt, resolve);
    });
  }
}

/** A user of one request. */
async function visit(stage: Stage, comesAt: number, step: Step): Promise<void> {
  if (stage.stopped) return;
  const user = new User(stage, comesAt);
  await user.ask(step);
  user.leave();
}

function transactionStep(stage: Stage, transaction: Transaction, saldo?: number): Step {
  const account = stage.account(transaction.client);
  return {
    operation: 'validation',
    request: stage.writer.transaction(transaction),
    transaction,
    check: (exchange) => checkAccepted(exchange, account, saldo),
  };
}

export async function playBurst(stage: Stage, { client, type, users }: BurstPhase): Promise<void> {
  const transaction: Transaction = { client, value: 1, type, description: 'validacao' };
  const step = transactionStep(stage, transaction);
  const comesAt = performance.now();
  await Promise.all(Array.from({ length: users }, () => visit(stage, comesAt, step)));
}

export async function playBalance(stage: Stage, { client, total }: BalancePhase): Promise<void> {
  const account = stage.account(client);
  await visit(stage, performance.now(), {
    operation: 'validation',
    request: stage.writer.statement(client),
    check: (exchange) => checkStatement(exchange, account, { total }),
  });
}

export async function playSessions(stage: Stage, { unknownClient }: SessionsPhase): Promise<void> {
  const comesAt = performance.now();
  const unknown: Step = {
    operation: 'validation',
    request: stage.writer.statement(unknownClient),
    check: (exchange) => checkStatus(exchange, [404]),
  };
  await Promise.all([
    ...stage.clients.map((client) => new Session(stage, stage.account(client), comesAt).play()),
    visit(stage, comesAt, unknown),
  ]);
}

const statementsAtOnce = 4;

/** The sequence of validations of one account. A wrong answer does not end it. */
class Session {
  readonly #stage: Stage;
  readonly #account: Account;
  readonly #user: User;
  /** The right balance; undefined as soon as a missing answer makes it unknown. */
  #balance: number | undefined = 0;

  constructor(stage: Stage, account: Account, comesAt: number) {
    this.#stage = stage;
    this.#account = account;
    this.#user = new User(stage, comesAt);
  }

  async play(): Promise<void> {
    const toma: ListedTransaction = { value: 1, type: 'c', description: 'toma' };
    const devolve: ListedTransaction = { value: 1, type: 'd', description: 'devolve' };
    const danada: ListedTransaction = { value: 1, type: 'c', description: 'danada' };
    const steps = [
      () => this.#user.ask(this.#statement([])),
      () => this.#transact(toma),
      () => this.#transact(devolve),
      () => this.#user.ask(this.#statement([devolve, toma])),
      () => this.#transactAndLook(danada),
      ...badBodies.map(
        ({ body }) =>
          () =>
            this.#refused(body),
      ),
    ];
    for (const step of steps) {
      if (this.#stage.stopped) break;
      await step();
    }
    this.#user.leave();
  }

  #statement(newest: readonly ListedTransaction[], total = this.#balance): Step {
    return {
      operation: 'validation',
      request: this.#stage.writer.statement(this.#account.id),
      check: (exchange) =>
        checkStatement(exchange, this.#account, {
          newest,
          ...(total === undefined ? {} : { total }),
        }),
    };
  }

  async #transact(listed: ListedTransaction): Promise<Exchange> {
    const change = this.#signed(listed.type, listed.value);
    const after = this.#balance === undefined ? undefined : this.#balance + change;
    const transaction: Transaction = { client: this.#account.id, ...listed };
    const exchange = await this.#user.ask(transactionStep(this.#stage, transaction, after));
    // Without an answer it is unknown whether the transaction happened.
    if (exchange.status === 200) this.#balance = after;
    else if (exchange.status === 0 || exchange.status >= 500) this.#balance = undefined;
    return exchange;
  }

  /** Several statements at once, right after a transaction's answer: each must show it. */
  async #transactAndLook(listed: ListedTransaction): Promise<void> {
    const exchange = await this.#transact(listed);
    if (this.#stage.stopped) return;
    const answered =
      checkAccepted(exchange, this.#account) === undefined ? saldoOf(exchange) : this.#balance;
    const step = this.#statement(exchange.status === 200 ? [listed] : [], answered);
    await this.#user.askAtOnce(Array.from({ length: statementsAtOnce }, () => step));
  }

  async #refused(body: string): Promise<void> {
    const exchange = await this.#user.ask({
      operation: 'validation',
      request: this.#stage.writer.post(this.#account.id, body),
      check: (answer) => checkStatus(answer, [422, 400]),
    });
    if (exchange.status < 400) this.#stage.books.spoil(this.#account.id);
  }

  #signed(type: TransactionType, value: number): number {
    return type === 'c' ? value : -value;
  }
}
