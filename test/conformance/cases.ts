// The requests of test/fixtures/http-cases.json, byte for byte, and an independent model of what
// those that are answered with 200 do to the accounts.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One connection's worth of requests, and the answers that they must get, in order. */
export interface HttpCase {
  readonly name: string;
  readonly request: Buffer;
  /** Each a status, or several any of which is right. */
  readonly status: readonly (readonly number[])[];
  /** Whether the server must close after the last answer, or must keep the connection. */
  readonly closes: boolean;
}

interface RawCase {
  readonly name: string;
  readonly request: string;
  readonly status: readonly (number | readonly number[])[];
  readonly closes: boolean;
}

// U+DC80 to U+DCFF stand for the raw bytes 0x80 to 0xFF; everything else is UTF-8.
function toBytes(text: string): Buffer {
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const isRaw = code >= 0xdc80 && code <= 0xdcff;
    parts.push(isRaw ? Buffer.from([code - 0xdc00]) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
}

/** All cases of the fixture. */
export function loadCases(): HttpCase[] {
  const text = readFileSync(join('test', 'fixtures', 'http-cases.json'), 'utf8');
  const { cases } = JSON.parse(text) as { cases: RawCase[] };
  return cases.map(({ name, request, status, closes }) => ({
    name,
    request: toBytes(request),
    status: status.map((each) => (typeof each === 'number' ? [each] : each)),
    closes,
  }));
}

/** What a client asks for in one request of a case. */
export interface AskedRequest {
  readonly method: string;
  readonly path: string;
  readonly body: Buffer;
}

/**
 * The requests of a connection, split by a reader that trusts its input: only to be asked about
 * requests that were answered with 200.
 */
export function splitRequests(bytes: Buffer): AskedRequest[] {
  const requests: AskedRequest[] = [];
  let rest: Buffer = bytes;
  while (rest.length > 0) {
    while (rest.subarray(0, 2).equals(Buffer.from('\r\n'))) rest = rest.subarray(2);
    const headEnd = rest.indexOf('\r\n\r\n');
    if (headEnd < 0) break;
    const head = rest.toString('latin1', 0, headEnd);
    const [method = '', target = ''] = head.split(' ', 2);
    const path = target.replace(/^http:\/\/[^/]*/, '').replace(/\?.*$/, '');
    rest = rest.subarray(headEnd + 4);
    let body: Buffer = Buffer.alloc(0);
    if (/\r\ntransfer-encoding:\s*chunked/i.test(head)) {
      for (;;) {
        const lineEnd = rest.indexOf('\r\n');
        if (lineEnd < 0) return requests;
        const size = Number.parseInt(rest.toString('latin1', 0, lineEnd), 16);
        if (!(size >= 0)) return requests;
        rest = rest.subarray(lineEnd + 2);
        if (size === 0) break;
        body = Buffer.concat([body, rest.subarray(0, size)]);
        rest = rest.subarray(size + 2);
      }
      while (!rest.subarray(0, 2).equals(Buffer.from('\r\n'))) {
        const lineEnd = rest.indexOf('\r\n');
        if (lineEnd < 0) return requests;
        rest = rest.subarray(lineEnd + 2);
      }
      rest = rest.subarray(2);
    } else {
      const length = Number(/\r\ncontent-length:\s*(\d+)/i.exec(head)?.[1] ?? 0);
      body = rest.subarray(0, length);
      rest = rest.subarray(length);
    }
    requests.push({ method, path, body });
  }
  return requests;
}

/** A transaction as a statement shows it. */
export interface ModelTransaction {
  readonly valor: number;
  readonly tipo: string;
  readonly descricao: string;
}

/** The accounts as the answers with 200 made them. */
export class ModelAccounts {
  static readonly limits = [100_000, 80_000, 1_000_000, 10_000_000, 500_000];
  readonly #balances = [0, 0, 0, 0, 0];
  readonly #transactions: ModelTransaction[][] = [[], [], [], [], []];

  balance(id: number): number {
    return this.#balances[id - 1]!;
  }

  /** The last ten, newest first. */
  last(id: number): ModelTransaction[] {
    return this.#transactions[id - 1]!.slice(-10).toReversed();
  }

  /** Applies what was accepted; returns the body that its answer must have. */
  accept(id: number, transaction: ModelTransaction): string {
    const { valor, tipo, descricao } = transaction;
    this.#balances[id - 1]! += tipo === 'c' ? valor : -valor;
    this.#transactions[id - 1]!.push({ valor, tipo, descricao });
    return JSON.stringify({ limite: ModelAccounts.limits[id - 1], saldo: this.balance(id) });
  }
}
