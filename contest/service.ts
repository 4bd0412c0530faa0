// Requests to the service outside the test: whether it answers, whether its store is fresh and, afterwards,
// whether its balances are the sum of what it acknowledged. They are not counted.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { EsporaError } from '#espora/errors.js';
import { Connection } from '#espora/lab/connection.js';
import type { Exchange, Target } from '#espora/lab/connection.js';
import type { Account } from '#espora/options/accounts.js';
import type { Books, ExpectedBalance } from './books.js';
import { checkStatement, readStatement } from './checks.js';
import { RequestWriter } from './requests.js';

/** The service's address as given. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const questionTimeoutMs = 5000;
const pollEveryMs = 250;
// The service gets at least this long to answer, even if less time is left.
const answerMs = 1000;

/** `host:port`, as in a URL and in the `Host` header. */
export function authorityOf({ host, port }: Address): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** The same address with an IP address as its host, so that connections resolve no name. */
export async function resolveTarget({ host, port }: Address): Promise<Target> {
  if (isIP(host) !== 0) return { host, port };
  try {
    const { address } = await lookup(host, { order: 'ipv4first' });
    return { host: address, port };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new EsporaError('ERR_ESPORA_INVALID', `the host ${host} cannot be resolved (${code})`);
  }
}

/** Requests one statement on its own connection; `signal` ends that as `abandoned`. */
async function askStatement(
  target: Target,
  authority: string,
  client: number,
  timeoutMs = questionTimeoutMs,
  signal?: AbortSignal,
): Promise<Exchange> {
  const connection = new Connection(target, timeoutMs);
  const close = (): void => {
    connection.close();
  };
  const { bytes } = new RequestWriter(authority).statement(client);
  signal?.addEventListener('abort', close);
  const exchange = await new Promise<Exchange>((resolve) => {
    connection.request(bytes, resolve);
  });
  signal?.removeEventListener('abort', close);
  close();
  return exchange;
}

export interface WaitOptions {
  readonly target: Target;
  readonly authority: string;
  readonly client: number;
  readonly waitMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called once if the service does not answer at once. */
  readonly onWait?: ((reason: string) => void) | undefined;
}

/** Waits until the statement of `client` is answered with 200; false if `signal` aborts first. */
export async function waitForService(options: WaitOptions): Promise<boolean> {
  const { target, authority, client, waitMs, signal, onWait } = options;
  const giveUpAt = performance.now() + waitMs;
  let waiting = false;
  for (;;) {
    if (signal?.aborted === true) return false;
    const leftMs = giveUpAt - performance.now();
    const timeoutMs = Math.max(answerMs, Math.min(questionTimeoutMs, leftMs));
    const { problem, status } = await askStatement(target, authority, client, timeoutMs, signal);
    if (problem?.code === 'abandoned') return false;
    if (problem === undefined && status === 200) return true;
    const refused = problem?.code === 'refused';
    const reason = refused
      ? `nothing listens on ${authority}`
      : `GET http://${authority}/clientes/${client}/extrato: ${problem?.message ?? `status ${status}`}`;
    if (performance.now() + pollEveryMs >= giveUpAt) {
      const after = `after ${waitMs / 1000} s`;
      throw new EsporaError(
        'ERR_ESPORA_UNAVAILABLE',
        refused ? `${reason} ${after}; start the service with: npm start` : `${reason} ${after}`,
      );
    }
    if (!waiting) onWait?.(reason);
    waiting = true;
    await sleep(pollEveryMs, undefined, signal === undefined ? {} : { signal }).catch(() => false);
  }
}

/** Throws unless every account exists, with balance 0 and without transactions. */
export async function requireFreshStore(
  target: Target,
  authority: string,
  accounts: readonly Account[],
): Promise<void> {
  for (const { id } of accounts) {
    const exchange = await askStatement(target, authority, id);
    const statement = readStatement(exchange);
    if (statement === undefined) {
      const what = exchange.problem?.message ?? `status ${exchange.status}: ${exchange.body}`;
      throw new EsporaError(
        'ERR_ESPORA_UNAVAILABLE',
        `what listens on ${authority} is not the contest's service: ` +
          `GET /clientes/${id}/extrato: ${what.slice(0, 200)}`,
      );
    }
    const { total, listed } = statement;
    if (total !== 0 || listed !== 0) {
      const history = listed === 0 ? 'no transactions' : 'transactions';
      throw new EsporaError(
        'ERR_ESPORA_INVALID',
        `the store is not fresh: client ${id} has a balance of ${total} and ${history}; ` +
          'start the service on an empty directory: npm start -- --data DIR',
      );
    }
  }
}

/** A balance after the run, and what it must be. */
export interface AuditedBalance extends ExpectedBalance {
  readonly client: number;
  /** What is wrong, if anything is; one sentence without a full stop. */
  readonly problem?: string;
}

/**
 * Compares balances with those that an earlier audit expected: a restart must have kept them. Requests
 * without an answer are repeated until `waitMs` have passed: some path through the service may not have
 * recovered yet, and only an answer shows that something was lost.
 */
export async function auditAgain(
  target: Target,
  authority: string,
  accounts: readonly Account[],
  earlier: readonly AuditedBalance[],
  waitMs: number,
): Promise<AuditedBalance[]> {
  const giveUpAt = performance.now() + waitMs;
  const audited: AuditedBalance[] = [];
  for (const { client, least, most } of earlier) {
    const account = accounts.find(({ id }) => id === client);
    if (account === undefined) continue;
    let exchange = await askStatement(target, authority, client);
    while (exchange.problem !== undefined && performance.now() < giveUpAt) {
      await sleep(pollEveryMs);
      exchange = await askStatement(target, authority, client);
    }
    const problem = auditProblem(exchange, account, { least, most });
    audited.push({ client, least, most, ...(problem === undefined ? {} : { problem }) });
  }
  return audited;
}

/** Compares the balances with the books. Accounts whose balance the books do not know are left out. */
export async function auditBalances(
  target: Target,
  authority: string,
  accounts: readonly Account[],
  books: Books,
): Promise<AuditedBalance[]> {
  const audited: AuditedBalance[] = [];
  for (const account of accounts) {
    const expected = books.expected(account.id);
    if (expected === undefined) continue;
    const exchange = await askStatement(target, authority, account.id);
    const problem = auditProblem(exchange, account, expected);
    audited.push({
      client: account.id,
      ...expected,
      ...(problem === undefined ? {} : { problem }),
    });
  }
  return audited;
}

function auditProblem(
  exchange: Exchange,
  account: Account,
  { least, most }: ExpectedBalance,
): string | undefined {
  const fault = checkStatement(exchange, account);
  if (fault !== undefined) return fault.message;
  const total = readStatement(exchange)?.total ?? Number.NaN;
  if (total >= least && total <= most) return undefined;
  const due = least === most ? `${least}` : `between ${least} and ${most}`;
  return `total is ${total}, but what was acknowledged adds up to ${due}`;
}
