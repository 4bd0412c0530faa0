// What every micro trial works on: the contest's transactions and requests, the same in each run and
// for each contestant.

import { randomTransaction, RequestWriter } from '#espora/contest/requests.js';
import { Random } from '#espora/lab/random.js';
import { defaultAccounts } from '#espora/lab/accounts.js';

export interface Transaction {
  readonly account: number;
  readonly credit: boolean;
  /** Cents. */
  readonly amount: number;
  /** Up to ten characters. */
  readonly description: string;
}

/** A transaction that took effect. */
export interface Entry extends Transaction {
  /** Cents, after it. */
  readonly balance: number;
  /** Microseconds since 1970. */
  readonly time: number;
}

export { defaultAccounts as accounts };

/** Enough that no branch predictor learns them by heart, few enough for the first-level caches. */
const poolSize = 256;
const firstTime = 1_705_000_000_000_000;

function makeTransactions(count: number): Transaction[] {
  const random = new Random(1);
  const clients = defaultAccounts.map(({ id }) => id);
  return Array.from({ length: count }, () => {
    // Two debits for each credit, as in the contest.
    const type = random.below(3) === 0 ? 'c' : 'd';
    const { client, value, description } = randomTransaction(random, clients, type);
    return { account: client, credit: type === 'c', amount: value, description };
  });
}

export const transactions: readonly Transaction[] = makeTransactions(poolSize);

/** All entries are made here: objects of one shape, as a program that cares would make them. */
const makeEntry = (
  { account, credit, amount, description }: Transaction,
  balance: number,
  time: number,
): Entry => ({ account, credit, amount, description, balance, time });

/**
 * Transactions whose effects cancel out, so that they can be repeated without end: after the pool comes its
 * mirror image.
 */
export const balancedTransactions: readonly Entry[] = [
  ...transactions,
  ...transactions.map((transaction) => ({ ...transaction, credit: !transaction.credit })).reverse(),
].map((transaction, index) => makeEntry(transaction, 0, firstTime + index));

/** Transactions that took effect, with balances on both sides of zero. */
export const entries: readonly Entry[] = transactions.map((transaction, index) =>
  makeEntry(
    transaction,
    (index % 2 === 0 ? -1 : 1) * ((index * 7919) % 100_000),
    firstTime + index * 3_000,
  ),
);

/** The same with descriptions of ten characters that are not all ASCII. */
export const entriesBeyondAscii: readonly Entry[] = entries.map((entry) =>
  makeEntry({ ...entry, description: 'pão é ação' }, entry.balance, entry.time),
);

const writer = new RequestWriter('127.0.0.1:9999');
const requests = transactions.map(({ account, amount, credit, description }) =>
  writer.transaction({ client: account, value: amount, type: credit ? 'c' : 'd', description }),
);

export const posts: readonly Buffer[] = requests.map(({ bytes }) => bytes);
export const bodies: readonly Buffer[] = requests.map(({ body }) => Buffer.from(body!, 'latin1'));
export const gets: readonly Buffer[] = transactions.map(
  ({ account }) => writer.statement(account).bytes,
);
