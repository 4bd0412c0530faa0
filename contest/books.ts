// What the answers say about each account: after the run its balance must be the sum of the acknowledged
// transactions, plus any of the unanswered ones.
import type { Exchange } from '#espora/lab/connection.js';
import type { Fault } from './checks.js';
import type { Transaction } from './requests.js';

/** The balance that an account must have; a range if an outcome is unknown. */
export interface ExpectedBalance {
  readonly least: number;
  readonly most: number;
}

/** The outcome of a transaction, as far as its answer shows it. */
export type Outcome = 'accepted' | 'refused' | 'unknown';

/** `fault`: what is wrong with the answer itself. */
export function outcomeOf(exchange: Exchange, fault: Fault | undefined): Outcome {
  // Without a connection, nothing was sent.
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

  /** Notes that a transaction of unknown effect was accepted, so that the account cannot be checked. */
  spoil(client: number): void {
    this.#accounts.get(client)!.known = false;
  }

  /** Undefined if it is unknown. */
  expected(client: number): ExpectedBalance | undefined {
    const { least, most, known } = this.#accounts.get(client)!;
    return known ? { least, most } : undefined;
  }
}
