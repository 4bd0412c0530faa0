// What the player knows of each account from the answers alone: after the run its balance must be
// the sum of what was acknowledged, give or take what was left unanswered.
import type { Exchange } from '#espora/lab/connection.js';
import type { Fault } from './checks.js';
import type { Transaction } from './requests.js';

/** The balance that an account must have; a range where an outcome is unknown. */
export interface ExpectedBalance {
  readonly least: number;
  readonly most: number;
}

/** What became of a transaction, as far as its answer tells. */
export type Outcome = 'accepted' | 'refused' | 'unknown';

/** `fault`: what is wrong with the answer as such. */
export function outcomeOf(exchange: Exchange, fault: Fault | undefined): Outcome {
  // Without a connection nothing was sent.
  if (fault?.code === 'refused' || fault?.code === 'connect') return 'refused';
  if (exchange.problem !== undefined || exchange.status >= 500) return 'unknown';
  return exchange.status >= 200 && exchange.status < 300 ? 'accepted' : 'refused';
}

/** The accounts of a store that was empty when the run began. */
export class Books {
  readonly #accounts: ReadonlyMap<number, { least: number; most: number; known: boolean }>;

  constructor(clients: readonly number[]) {
    this.#accounts = new Map(clients.map((id) => [id, { least: 0, most: 0, known: true }]));
  }

  enter({ client, value, type }: Transaction, outcome: Outcome): void {
    if (outcome === 'refused') return;
    const account = this.#accounts.get(client)!;
    const change = type === 'c' ? value : -value;
    if (outcome === 'accepted' || change < 0) account.least += change;
    if (outcome === 'accepted' || change > 0) account.most += change;
  }

  /** Something was accepted whose effect nobody can tell: this account can't be checked any more. */
  spoil(client: number): void {
    this.#accounts.get(client)!.known = false;
  }

  /** Undefined if it can't be told. */
  expected(client: number): ExpectedBalance | undefined {
    const { least, most, known } = this.#accounts.get(client)!;
    return known ? { least, most } : undefined;
  }
}
