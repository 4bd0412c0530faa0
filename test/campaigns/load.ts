// Clients that keep a service busy and write down what they were told: bursts of pipelined transactions
// and statements on connections that are made anew whenever one breaks.
import { connect } from 'node:net';
import type { NetConnectOpts, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '#espora/lab/random.js';
import { defaultAccounts } from '#espora/lab/accounts.js';
import type { History, Sent } from './history.js';
import { cutMessages, statementRequest, statusOf, transactionRequest } from './http-framing.js';

/** What a load is like. */
export interface LoadOptions {
  readonly clients: number;
  /** Requests that go out at once on a connection, at most. */
  readonly burstMax: number;
  /** False: each connection serves one burst. */
  readonly keepAlive: boolean;
  readonly seed: number;
  /** Each client waits up to this long between its bursts, in milliseconds. */
  readonly pauseMsMax?: number;
}

// While nothing listens a closed loop would only spin.
const retryMs = 5;
// Whoever was told that the store failed gives it time to end.
const unavailableMs = 100;
// Far beyond any flush; whoever hangs this long has lost its answer.
const patienceMs = 20_000;

type Pending = Sent | { readonly statementOf: number };

/** Runs from its construction to `stop`. */
export class Load {
  readonly #where: NetConnectOpts;
  readonly #history: History;
  readonly #options: LoadOptions;
  readonly #sockets = new Set<Socket>();
  readonly #clients: Promise<void>[];
  #stopped = false;
  #unavailable = false;

  constructor(where: NetConnectOpts, history: History, options: LoadOptions) {
    this.#where = where;
    this.#history = history;
    this.#options = options;
    this.#clients = Array.from({ length: options.clients }, (_, index) =>
      this.#client(new Random(options.seed + index)),
    );
  }

  /** Lets every burst that was sent be answered, then hangs up; `cut`: hangs up at once. */
  async stop(cut = false): Promise<void> {
    this.#stopped = true;
    if (cut) for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#clients);
  }

  async #client(random: Random): Promise<void> {
    while (!this.#stopped) {
      const socket = await this.#connected();
      if (socket === undefined) {
        await sleep(retryMs);
        continue;
      }
      this.#sockets.add(socket);
      const connection = this.#history.connection();
      try {
        do {
          await this.#burst(socket, connection, random);
          const { pauseMsMax = 0 } = this.#options;
          if (pauseMsMax > 0) await sleep(random.below(pauseMsMax));
        } while (this.#options.keepAlive && !this.#stopped && !this.#unavailable);
      } catch {
        // Whatever was not answered stays in doubt.
        await sleep(retryMs);
      }
      this.#sockets.delete(socket);
      socket.destroy();
      if (this.#unavailable) await sleep(unavailableMs);
      this.#unavailable = false;
    }
  }

  #connected(): Promise<Socket | undefined> {
    return new Promise((resolve) => {
      const socket = connect(this.#where);
      socket.setNoDelay(true);
      socket.setTimeout(patienceMs, () => socket.destroy());
      socket.once('connect', () => resolve(socket));
      // Its end follows every error.
      socket.on('error', () => resolve(undefined));
    });
  }

  #burst(socket: Socket, connection: number, random: Random): Promise<void> {
    const pending: Pending[] = [];
    let bytes = '';
    const sentNs = process.hrtime.bigint();
    for (let left = 1 + random.below(this.#options.burstMax); left > 0; left--) {
      const { id, limit } = defaultAccounts[random.below(defaultAccounts.length)]!;
      if (random.below(8) === 0) {
        pending.push({ statementOf: id });
        bytes += statementRequest(id);
        continue;
      }
      const sent: Sent = {
        id,
        tipo: random.below(2) === 0 ? 'c' : 'd',
        // Large steps, so that the limit is often in the way.
        valor: 1 + random.below(Math.ceil(limit / 3)),
        descricao: this.#history.description(),
        connection,
        sentNs,
        outcome: 'in doubt',
      };
      this.#history.sent.push(sent);
      pending.push(sent);
      bytes += transactionRequest(id, sent.tipo, sent.valor, sent.descricao);
    }
    return this.#exchange(socket, bytes, pending);
  }

  /** Sends; resolves when all was answered, rejects when the connection ends before. */
  async #exchange(socket: Socket, bytes: string, pending: readonly Pending[]): Promise<void> {
    let received = Buffer.alloc(0);
    let answered = 0;
    let onData: (part: Buffer) => void = () => undefined;
    let onEnd: () => void = () => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        onEnd = () => reject(new Error('the connection ended'));
        if (socket.destroyed) return onEnd();
        onData = (part) => {
          const answeredNs = process.hrtime.bigint();
          received = Buffer.concat([received, part]);
          const messages = cutMessages(received);
          for (const message of messages) {
            const asked = pending[answered++];
            if (asked === undefined) return reject(new Error('an answer that nobody asked for'));
            this.#note(asked, statusOf(message), message.body, answeredNs);
          }
          received = received.subarray(messages.at(-1)?.end ?? 0);
          if (answered === pending.length) resolve();
        };
        socket.on('data', onData);
        socket.once('close', onEnd);
        socket.write(bytes);
      });
    } finally {
      socket.off('data', onData);
      socket.off('close', onEnd);
    }
  }

  #note(asked: Pending, status: number, body: string, answeredNs: bigint): void {
    if ('statementOf' in asked) {
      if (status !== 200) return;
      const { saldo, ultimas_transacoes: newest } = JSON.parse(body) as {
        saldo: { total: number };
        ultimas_transacoes: { descricao: string }[];
      };
      const descriptions = newest.map(({ descricao }) => descricao);
      const { statementOf: id } = asked;
      this.#history.statements.push({ id, total: saldo.total, descriptions, answeredNs });
      return;
    }
    asked.answeredNs = answeredNs;
    asked.status = status;
    if (status === 200) {
      asked.outcome = 'acknowledged';
      asked.saldo = (JSON.parse(body) as { saldo: number }).saldo;
    } else if (status === 503) {
      // The service is about to end.
      this.#unavailable = true;
    } else {
      asked.outcome = 'refused';
    }
  }
}
