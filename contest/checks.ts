// Pure functions that check an answer and return what is wrong with it.
import type { Exchange, ProblemCode } from '#espora/lab/connection.js';
import type { Account } from '#espora/options/accounts.js';
import type { TransactionType } from './plan.js';

/** The kinds of faults, by which failures are grouped. */
export type FaultCode =
  | ProblemCode
  | 'status' // a wrong status
  | 'shape' // JSON with wrong members
  | 'limite' // not the account's limit
  | 'saldo' // a wrong balance
  | 'below-limit' // a balance below what the limit allows
  | 'transactions'; // a wrong list of last transactions

export interface Fault {
  readonly code: FaultCode;
  /** What was answered and what must be; one sentence without a full stop. */
  readonly message: string;
  /** True if the answer shows an impossible balance, for which there is a fine. */
  readonly inconsistent: boolean;
}

/** Undefined: the answer is right. */
export type Verdict = Fault | undefined;

/** A member of `ultimas_transacoes`, as far as it is checked. */
export interface ListedTransaction {
  readonly value: number;
  readonly type: TransactionType;
  readonly description: string;
}

const listedMax = 10;
const shownMax = 120;

function fault(code: FaultCode, message: string): Fault {
  return { code, message, inconsistent: code === 'saldo' || code === 'below-limit' };
}

function shown(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > shownMax ? `${line.slice(0, shownMax)}…` : line;
}

/** The answer's status must be one of these; the body is not checked. */
export function checkStatus(exchange: Exchange, allowed: readonly number[]): Verdict {
  if (exchange.problem !== undefined) return fault(exchange.problem.code, exchange.problem.message);
  if (allowed.includes(exchange.status)) return undefined;
  const body = exchange.body === '' ? '' : `: ${shown(exchange.body)}`;
  return fault('status', `status ${exchange.status} instead of ${allowed.join(' or ')}${body}`);
}

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The body as a JSON object, or its fault. */
function parseObject(body: string): { readonly json: Json } | { readonly fault: Fault } {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { fault: fault('malformed', `the body is not JSON: ${shown(body)}`) };
  }
  if (isObject(value)) return { json: value };
  return { fault: fault('shape', `the body is not an object: ${shown(body)}`) };
}

function show(value: unknown): string {
  return value === undefined ? 'missing' : shown(JSON.stringify(value));
}

/** `limite` and a balance named `name`: whole numbers, the account's limit, not below it. */
function checkBalance(
  holder: Json,
  name: 'saldo' | 'total',
  account: Account,
  expected: number | undefined,
): Verdict {
  const { limite } = holder;
  const balance = holder[name];
  if (!Number.isSafeInteger(limite)) return fault('shape', `limite is ${show(limite)}`);
  if (!Number.isSafeInteger(balance)) return fault('shape', `${name} is ${show(balance)}`);
  if (limite !== account.limit) {
    return fault('limite', `limite is ${show(limite)} instead of ${account.limit}`);
  }
  if ((balance as number) < -account.limit) {
    return fault(
      'below-limit',
      `${name} is ${show(balance)}, below the limit of -${account.limit}`,
    );
  }
  if (expected !== undefined && balance !== expected) {
    return fault('saldo', `${name} is ${show(balance)} instead of ${expected}`);
  }
  return undefined;
}

/** A transaction that was accepted: 200, the limit, a balance that the limit allows. */
export function checkAccepted(exchange: Exchange, account: Account, saldo?: number): Verdict {
  const wrongStatus = checkStatus(exchange, [200]);
  if (wrongStatus !== undefined) return wrongStatus;
  const body = parseObject(exchange.body);
  return 'fault' in body ? body.fault : checkBalance(body.json, 'saldo', account, saldo);
}

/** A debit of the load: accepted, or refused because of the limit. */
export function checkDebit(exchange: Exchange, account: Account): Verdict {
  const wrongStatus = checkStatus(exchange, [200, 422]);
  if (wrongStatus !== undefined) return wrongStatus;
  return exchange.status === 200 ? checkAccepted(exchange, account) : undefined;
}

/** The balance of an accepted transaction; only for an answer that passed its check. */
export function saldoOf(exchange: Exchange): number {
  return (JSON.parse(exchange.body) as { saldo: number }).saldo;
}

function describe({ value, type, description }: ListedTransaction): string {
  return `${value} ${type} ${JSON.stringify(description)}`;
}

function checkListed(listed: unknown, newest: readonly ListedTransaction[]): Verdict {
  if (!Array.isArray(listed)) return fault('shape', `ultimas_transacoes is ${show(listed)}`);
  if (listed.length > listedMax) {
    return fault('transactions', `ultimas_transacoes lists ${listed.length}, at most 10 are right`);
  }
  for (const [index, expected] of newest.entries()) {
    const entry: unknown = listed[index];
    if (
      !isObject(entry) ||
      entry.valor !== expected.value ||
      entry.tipo !== expected.type ||
      entry.descricao !== expected.description
    ) {
      return fault(
        'transactions',
        `ultimas_transacoes[${index}] is ${show(entry)} instead of ${describe(expected)}`,
      );
    }
  }
  return undefined;
}

/** What a statement must show; what is absent may be anything that the limit allows. */
export interface ExpectedStatement {
  readonly total?: number;
  /** The newest transactions, newest first; older ones may follow. */
  readonly newest?: readonly ListedTransaction[];
}

export function checkStatement(
  exchange: Exchange,
  account: Account,
  { total, newest = [] }: ExpectedStatement = {},
): Verdict {
  const wrongStatus = checkStatus(exchange, [200]);
  if (wrongStatus !== undefined) return wrongStatus;
  const body = parseObject(exchange.body);
  if ('fault' in body) return body.fault;
  const { saldo, ultimas_transacoes: listed } = body.json;
  if (!isObject(saldo)) return fault('shape', `saldo is ${show(saldo)}`);
  return checkBalance(saldo, 'total', account, total) ?? checkListed(listed, newest);
}

/** The balance and the number of transactions of a statement, without checks; undefined if malformed. */
export function readStatement(
  exchange: Exchange,
): { readonly total: number; readonly listed: number } | undefined {
  if (exchange.problem !== undefined || exchange.status !== 200) return undefined;
  const body = parseObject(exchange.body);
  if ('fault' in body) return undefined;
  const { saldo, ultimas_transacoes: listed } = body.json;
  if (!isObject(saldo)) return undefined;
  const { total } = saldo;
  if (typeof total !== 'number' || !Array.isArray(listed)) return undefined;
  return { total, listed: listed.length };
}
