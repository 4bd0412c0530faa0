// The ledger's rules in plain JavaScript: decide, then let it take effect.

import type { Entry, Transaction } from '../workload.js';

const amountMax = Number.MAX_SAFE_INTEGER;
const pastMax = 10;

interface Account {
  readonly id: number;
  readonly limit: number;
  balance: number;
  lastTime: number;
  lastSequence: number;
  /** The last transactions as a ring: `past[(pastNext - 1 - age) mod 10]`. */
  readonly past: Entry[];
  pastNext: number;
}

export class Ledger {
  /** By id; accounts are numbered from 1 on without large gaps. */
  readonly #accounts: (Account | undefined)[] = [];
  #sequence = 0;

  constructor(accounts: readonly { readonly id: number; readonly limit: number }[]) {
    for (const { id, limit } of accounts) {
      this.#accounts[id] = {
        id,
        limit,
        balance: 0,
        lastTime: 0,
        lastSequence: 0,
        past: [],
        pastNext: 0,
      };
    }
  }

  /** The entry to write, or undefined for a transaction that is refused and changes nothing. */
  apply(transaction: Transaction, now: number): Entry | undefined {
    const { account: id, credit, amount, description } = transaction;
    const account = this.#accounts[id];
    if (account === undefined) return undefined;
    const balance = credit ? account.balance + amount : account.balance - amount;
    if (!credit && balance < -account.limit) return undefined;
    if (balance > amountMax) return undefined;

    const time = Math.max(now, account.lastTime);
    const entry = { account: id, credit, amount, balance, time, description };
    account.balance = balance;
    account.lastTime = time;
    account.lastSequence = ++this.#sequence;
    account.past[account.pastNext] = entry;
    account.pastNext = account.pastNext + 1 === pastMax ? 0 : account.pastNext + 1;
    return entry;
  }

  /** Per account, by id: its balance, and the sequence that changed it last. */
  state(): number[] {
    return this.#accounts.flatMap((account) =>
      account === undefined ? [] : [account.balance, account.lastSequence],
    );
  }
}
