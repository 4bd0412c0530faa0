// The contest's test as data: its phases, their users and rates. What is played, the number of requests and
// what is printed all derive from it.
import { defaultAccounts } from '#espora/lab/accounts.js';
import type { Account } from '#espora/options/accounts.js';
import { usersOf } from './schedule.js';
import type { RateStep } from './schedule.js';

/** The operations by which requests are counted and timed, in the order of the report. */
export const operations = ['validation', 'debit', 'credit', 'statement'] as const;
export type Operation = (typeof operations)[number];

/** `c` for a credit, `d` for a debit, as on the wire. */
export type TransactionType = 'c' | 'd';

/** Users with one request each, at rates that change over time. */
export interface LoadStream {
  readonly operation: Exclude<Operation, 'validation'>;
  readonly steps: readonly RateStep[];
}

/** Users that arrive at the same moment, each with one transaction of 1. */
export interface BurstPhase {
  readonly kind: 'burst';
  readonly title: string;
  readonly client: number;
  readonly type: TransactionType;
  readonly users: number;
}

/** One user that requests one statement. */
export interface BalancePhase {
  readonly kind: 'balance';
  readonly title: string;
  readonly client: number;
  readonly total: number;
}

/**
 * One user per account, all at the same time, each with the whole sequence of validations, and one more
 * user that requests an account that does not exist.
 */
export interface SessionsPhase {
  readonly kind: 'sessions';
  readonly title: string;
  readonly unknownClient: number;
}

/** The load: all streams at the same time. */
export interface LoadPhase {
  readonly kind: 'load';
  readonly title: string;
  readonly streams: readonly LoadStream[];
}

export type Phase = BurstPhase | BalancePhase | SessionsPhase | LoadPhase;

export interface Plan {
  readonly name: string;
  readonly accounts: readonly Account[];
  /** Played in this order, each when the previous one has all its answers. */
  readonly phases: readonly Phase[];
}

export interface PlanOptions {
  readonly name?: string;
  readonly rampSeconds?: number;
  readonly plateauSeconds?: number;
  readonly startPerSecond?: number;
  readonly debitsPerSecond?: number;
  readonly creditsPerSecond?: number;
  readonly statementsPerSecond?: number;
  readonly burstUsers?: number;
  readonly accounts?: readonly Account[];
}

/** The same peak rates in half a minute of load. */
export const quick: PlanOptions = { name: 'quick', rampSeconds: 15, plateauSeconds: 15 };

/** The contest's test; without options the whole test. */
export function contestPlan({
  name = 'full',
  rampSeconds = 120,
  plateauSeconds = 120,
  startPerSecond = 1,
  debitsPerSecond = 220,
  creditsPerSecond = 110,
  statementsPerSecond = 10,
  burstUsers = 25,
  accounts = defaultAccounts,
}: PlanOptions = {}): Plan {
  const client = accounts[0]!.id;
  const unknownClient = Math.max(...accounts.map(({ id }) => id)) + 1;
  const stream = (operation: LoadStream['operation'], peak: number): LoadStream => ({
    operation,
    steps: [
      { fromPerSecond: startPerSecond, toPerSecond: peak, seconds: rampSeconds },
      { fromPerSecond: peak, toPerSecond: peak, seconds: plateauSeconds },
    ],
  });
  const burst = (type: TransactionType, what: string): BurstPhase => ({
    kind: 'burst',
    title: `${burstUsers} ${what} at once`,
    client,
    type,
    users: burstUsers,
  });
  const balance = (total: number): BalancePhase => ({
    kind: 'balance',
    title: `balance is ${total}`,
    client,
    total,
  });
  return {
    name,
    accounts,
    phases: [
      burst('d', 'debits'),
      balance(-burstUsers),
      burst('c', 'credits'),
      balance(0),
      { kind: 'sessions', title: 'statements and bad requests', unknownClient },
      {
        kind: 'load',
        title: 'load',
        streams: [
          stream('debit', debitsPerSecond),
          stream('credit', creditsPerSecond),
          stream('statement', statementsPerSecond),
        ],
      },
    ],
  };
}

/**
 * Requests of one account's sequence of validations: statement, credit, debit, statement, credit
 * with four statements, five bad bodies.
 */
export const requestsPerSession = 14;

/** How many requests a phase sends. */
export function requestsOfPhase(phase: Phase, accounts: readonly Account[]): number {
  switch (phase.kind) {
    case 'burst':
      return phase.users;
    case 'balance':
      return 1;
    case 'sessions':
      return accounts.length * requestsPerSession + 1;
    case 'load':
      return phase.streams.reduce((sum, { steps }) => sum + usersOf(steps), 0);
  }
}

/** How many requests a plan sends: 61,503 for the whole contest. */
export function requestsOf({ phases, accounts }: Plan): number {
  return phases.reduce((sum, phase) => sum + requestsOfPhase(phase, accounts), 0);
}
