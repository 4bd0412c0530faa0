// The contest's requests, ready to be written to a socket.
import type { Random } from '#espora/lab/random.js';
import type { TransactionType } from './plan.js';

/** One request: its bytes, and its text for the report. */
export interface Request {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Absent for a GET. */
  readonly body?: string;
  readonly bytes: Buffer;
}

/** A transaction that a correct service accepts, or refuses only because of the limit. */
export interface Transaction {
  readonly client: number;
  readonly value: number;
  readonly type: TransactionType;
  readonly description: string;
}

/** Bodies that must be refused, with their faults. */
export const badBodies: readonly { readonly what: string; readonly body: string }[] = [
  { what: 'a fraction', body: '{"valor": 1.2, "tipo": "d", "descricao": "devolve"}' },
  { what: 'an unknown type', body: '{"valor": 1, "tipo": "x", "descricao": "devolve"}' },
  {
    what: 'a description of 26 characters',
    body: '{"valor": 1, "tipo": "c", "descricao": "123456789 e mais um pouco."}',
  },
  { what: 'an empty description', body: '{"valor": 1, "tipo": "c", "descricao": ""}' },
  { what: 'a null description', body: '{"valor": 1, "tipo": "c", "descricao": null}' },
];

const alphanumerics = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const descriptionLength = 10;
const valueMax = 10_000;

/** Ten random letters and digits. */
function randomDescription(random: Random): string {
  let description = '';
  for (let i = 0; i < descriptionLength; i++) {
    description += alphanumerics[random.below(alphanumerics.length)]!;
  }
  return description;
}

/** A transaction of the load: any of `clients`, 1 to 10000, ten random letters and digits. */
export function randomTransaction(
  random: Random,
  clients: readonly number[],
  type: TransactionType,
): Transaction {
  return {
    client: clients[random.below(clients.length)]!,
    value: 1 + random.below(valueMax),
    type,
    description: randomDescription(random),
  };
}

/** Makes requests to one authority (`host:port`). */
export class RequestWriter {
  readonly #head: string;

  constructor(authority: string) {
    this.#head = `Host: ${authority}\r\nUser-Agent: espora contest\r\nAccept: */*\r\n`;
  }

  statement(client: number): Request {
    const path = `/clientes/${client}/extrato`;
    const bytes = Buffer.from(`GET ${path} HTTP/1.1\r\n${this.#head}\r\n`, 'latin1');
    return { method: 'GET', path, bytes };
  }

  /** A transaction with any body; ASCII only. */
  post(client: number, body: string): Request {
    const path = `/clientes/${client}/transacoes`;
    const bytes = Buffer.from(
      `POST ${path} HTTP/1.1\r\n${this.#head}Content-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
      'latin1',
    );
    return { method: 'POST', path, body, bytes };
  }

  transaction({ client, value, type, description }: Transaction): Request {
    return this.post(
      client,
      `{"valor": ${value}, "tipo": "${type}", "descricao": "${description}"}`,
    );
  }
}
