// A load that records its answers: each transaction has a unique description, and is acknowledged (200),
// refused (any other answer) or in doubt (no answer).
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '#espora/lab/until.js';

/** The outcome of a transaction. */
export type Outcome = 'acknowledged' | 'refused' | 'in doubt';

/** One transaction that was sent. */
export interface Sent {
  readonly id: number;
  readonly valor: number;
  readonly descricao: string;
  outcome: Outcome;
}

// Without a pause, closed loops take the CPU that a service needs to restart. It is as long as a few answers
// take, so that at any time some clients wait for an answer.
const pauseMs = 10;
// Keeps clients from spinning while no process listens.
const pauseAfterFailureMs = 50;

/** Clients in closed loops, until stopped. */
export class RememberingLoad {
  readonly sent: Sent[] = [];
  readonly #agent: Agent;
  readonly #port: number;
  readonly #prefix: string;
  readonly #clients: Promise<void>[];
  #stopped = false;

  /** `keepAlive` false: a new connection for each request. */
  constructor(port: number, clients: number, keepAlive: boolean, prefix = '') {
    this.#port = port;
    this.#prefix = prefix;
    this.#agent = new Agent({ keepAlive, maxSockets: clients });
    this.#clients = Array.from({ length: clients }, () => this.#client());
  }

  /** Number of acknowledged transactions. */
  get acknowledged(): number {
    return this.sent.filter(({ outcome }) => outcome === 'acknowledged').length;
  }

  /** Waits until `count` more transactions are acknowledged. */
  async progress(count: number): Promise<void> {
    const aim = this.acknowledged + count;
    await until(`${aim} transactions are acknowledged`, () => this.acknowledged >= aim);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }

  async #client(): Promise<void> {
    while (!this.#stopped) {
      const number = this.sent.length;
      const transaction: Sent = {
        id: (number % 5) + 1,
        valor: (number % 1000) + 1,
        descricao: `${this.#prefix}${number.toString(36)}`,
        outcome: 'in doubt',
      };
      this.sent.push(transaction);
      transaction.outcome = await this.#post(transaction);
      await sleep(transaction.outcome === 'acknowledged' ? pauseMs : pauseAfterFailureMs);
    }
  }

  #post({ id, valor, descricao }: Sent): Promise<Outcome> {
    const body = JSON.stringify({ valor, tipo: 'c', descricao });
    return new Promise((resolve) => {
      const outgoing = request({
        host: '127.0.0.1',
        port: this.#port,
        agent: this.#agent,
        method: 'POST',
        path: `/clientes/${id}/transacoes`,
        headers: { 'content-length': Buffer.byteLength(body) },
        timeout: 20_000,
      });
      outgoing.on('response', (answer) => {
        answer.resume();
        // The status line is the promise: a 200 counts even if the connection then fails.
        resolve(
          answer.statusCode === 200
            ? 'acknowledged'
            : answer.statusCode! >= 500 && answer.statusCode !== 507
              ? 'in doubt'
              : 'refused',
        );
      });
      outgoing.on('timeout', () => outgoing.destroy(new Error('no answer')));
      outgoing.on('error', () => resolve('in doubt'));
      outgoing.end(body);
    });
  }
}
