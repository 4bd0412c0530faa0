// A correct service of the contest in memory, and the means to make it wrong in exactly one way.
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { ExecutionContext } from 'ava';
import { defaultAccounts } from '#espora/lab/accounts.js';

/** What is listed in a statement. */
export interface Listed {
  valor: number;
  tipo: 'c' | 'd';
  descricao: string;
  realizada_em: string;
}

interface Account {
  limit: number;
  balance: number;
  /** Newest first. */
  listed: Listed[];
  transactions: number;
  /** Statements since the last transaction. */
  statements: number;
}

/** A request as a hook sees it. */
export interface Call {
  readonly kind: 'statement' | 'transaction';
  readonly client: number;
  /** Body of a transaction. */
  readonly body: string;
  /** `descricao` of a transaction; for a statement, of the newest one before it. */
  readonly description: string;
  /** Transactions of this client that were entered. */
  readonly transactions: number;
  /** For a statement: the how manieth since the last transaction, from 1. */
  readonly nth: number;
  /** True for what only the load sends: descriptions of ten letters and digits. */
  readonly load: boolean;
}

/** An answer: JSON by default, or bytes exactly as they go out. */
export interface Answer {
  status: number;
  json: unknown;
}

/** What a hook may make of an answer. */
export type Misbehaviour =
  | Answer
  | { readonly raw: string; readonly then?: 'end' | 'reset' | 'nothing' }
  | { readonly delayMs: number };

export interface ReferenceOptions {
  /** Changes an answer; the bank has already done its part. */
  readonly answer?: (call: Call, answer: Answer) => Misbehaviour | undefined;
  /** True: this transaction is accepted whatever it says. */
  readonly accept?: (body: string) => boolean;
  /** How many times a transaction that is answered is entered; 1 is right. */
  readonly enter?: (call: Call) => number;
  /** True: no debit is refused for its limit. */
  readonly unlimited?: boolean;
  readonly accounts?: readonly { readonly id: number; readonly limit: number }[];
}

export interface ReferenceServer {
  readonly port: number;
  /** Connections accepted so far. */
  readonly connections: () => number;
  close(): void;
}

const loadDescription = /^[A-Za-z0-9]{10}$/;

class Bank {
  readonly #accounts: ReadonlyMap<number, Account>;
  readonly #options: ReferenceOptions;

  constructor(options: ReferenceOptions) {
    this.#options = options;
    this.#accounts = new Map(
      (options.accounts ?? defaultAccounts).map(({ id, limit }) => [
        id,
        { limit, balance: 0, listed: [], transactions: 0, statements: 0 },
      ]),
    );
  }

  handle(method: string, path: string, body: string): { call: Call | undefined; answer: Answer } {
    const match = /^\/clientes\/([0-9]+)\/(extrato|transacoes)$/.exec(path);
    const client = Number(match?.[1]);
    const account = this.#accounts.get(client);
    if (match === null || account === undefined) {
      const call = match && this.#call('statement', client, '', undefined, false);
      return { call: call ?? undefined, answer: { status: 404, json: { erro: 'not_found' } } };
    }
    return method === 'GET'
      ? this.#statement(client, account)
      : this.#transaction(client, account, body);
  }

  #call(
    kind: Call['kind'],
    client: number,
    body: string,
    account: Account | undefined,
    load: boolean,
    description = account?.listed[0]?.descricao ?? '',
  ): Call {
    const { transactions = 0, statements = 0 } = account ?? {};
    return { kind, client, body, description, transactions, nth: statements, load };
  }

  #statement(client: number, account: Account): { call: Call; answer: Answer } {
    account.statements++;
    const load = loadDescription.test(account.listed[0]?.descricao ?? '');
    const { balance, limit, listed } = account;
    return {
      call: this.#call('statement', client, '', account, load),
      answer: {
        status: 200,
        json: {
          saldo: { total: balance, data_extrato: new Date().toISOString(), limite: limit },
          ultimas_transacoes: listed.slice(0, 10),
        },
      },
    };
  }

  #transaction(client: number, account: Account, body: string): { call: Call; answer: Answer } {
    const { valor, tipo, descricao } = JSON.parse(body) as Listed;
    const load = loadDescription.test(String(descricao));
    const call = (): Call => {
      return this.#call('transaction', client, body, account, load, String(descricao));
    };
    const valid =
      Number.isSafeInteger(valor) &&
      valor > 0 &&
      (tipo === 'c' || tipo === 'd') &&
      typeof descricao === 'string' &&
      descricao.length >= 1 &&
      descricao.length <= 10;
    const refused = { status: 422, json: { erro: 'refused' } };
    if (!valid && this.#options.accept?.(body) !== true) return { call: call(), answer: refused };
    const change = tipo === 'd' ? -valor : valor;
    const saldo = account.balance + change;
    if (this.#options.unlimited !== true && tipo === 'd' && saldo < -account.limit) {
      return { call: call(), answer: refused };
    }
    for (let times = this.#options.enter?.(call()) ?? 1; times > 0; times--) {
      account.balance += change;
      account.listed.unshift({ valor, tipo, descricao, realizada_em: new Date().toISOString() });
      account.listed.length = Math.min(account.listed.length, 12);
      account.transactions++;
      account.statements = 0;
    }
    return { call: call(), answer: { status: 200, json: { limite: account.limit, saldo } } };
  }
}

function respond(response: ServerResponse, socket: Socket, answer: Misbehaviour): void {
  if ('delayMs' in answer) throw new Error('a delay is no answer');
  if ('raw' in answer) {
    const then = answer.then ?? 'nothing';
    if (answer.raw !== '') socket.write(answer.raw);
    if (then === 'end') socket.end();
    if (then === 'reset') socket.resetAndDestroy();
    return;
  }
  const body = JSON.stringify(answer.json);
  response.writeHead(answer.status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
}

async function read(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk as string;
  return body;
}

/** Starts it on a free port of 127.0.0.1. */
export async function startReferenceServer(
  options: ReferenceOptions = {},
): Promise<ReferenceServer> {
  const bank = new Bank(options);
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((request, response) => {
    void (async () => {
      const body = await read(request);
      const { call, answer } = bank.handle(request.method ?? '', request.url ?? '', body);
      const changed = call === undefined ? undefined : options.answer?.(call, answer);
      if (changed !== undefined && 'delayMs' in changed) {
        setTimeout(() => {
          respond(response, request.socket, answer);
        }, changed.delayMs);
      } else {
        respond(response, request.socket, changed ?? answer);
      }
    })();
  });
  server.on('connection', (socket) => {
    connections++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', 4096, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Starts it for one test. */
export async function referenceServer(
  t: ExecutionContext,
  options?: ReferenceOptions,
): Promise<ReferenceServer> {
  const server = await startReferenceServer(options);
  t.teardown(() => {
    server.close();
  });
  return server;
}
