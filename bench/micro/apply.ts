// The ledger decides about a transaction and lets it take effect.

import { loadAddon } from '../lib/addon.js';
import { fingerprintOf } from './fingerprint.js';
import { Ledger } from './javascript/ledger.js';
import type { Case, MicroTrial, Variant } from './micro-trial.js';
import { operations, operationsReport, perSecond, timed } from './operations.js';
import type { Entry } from './workload.js';
import { accounts, balancedTransactions as pool } from './workload.js';

const cases: Case[] = [{ name: 'contest', title: 'five accounts, credits and debits' }];

const mask = pool.length - 1; // a power of two, less one
const stateOf = (state: readonly number[]): string => fingerprintOf(state.join(' '));

const variants: Variant[] = [
  {
    name: 'javascript',
    title: 'JavaScript',
    prepare() {
      const ledger = new Ledger(accounts);
      for (const entry of pool) ledger.apply(entry, entry.time);
      const fingerprint = stateOf(ledger.state());
      let sink = 0;
      const loop = (iterations: number): void => {
        for (let i = 0; i < iterations; i++) {
          const entry = pool[i & mask]!;
          sink += ledger.apply(entry, entry.time)?.balance ?? 0;
        }
        if (Number.isNaN(sink)) throw new Error('balances are not numbers');
      };
      return operations(fingerprint, timed(loop));
    },
  },
  {
    name: 'call',
    title: 'native, one by one',
    prepare() {
      const trial = new (loadAddon().ApplyTrial)(pool);
      const one = (entry: Entry): number =>
        trial.one(entry.account, entry.credit, entry.amount, entry.time, entry.description);
      for (const entry of pool) one(entry);
      const fingerprint = stateOf(trial.state());
      const loop = (iterations: number): void => {
        for (let i = 0; i < iterations; i++) one(pool[i & mask]!);
      };
      return operations(fingerprint, timed(loop));
    },
  },
  {
    name: 'native',
    title: 'native, data plane',
    prepare() {
      const trial = new (loadAddon().ApplyTrial)(pool);
      trial.loop(pool.length);
      const fingerprint = stateOf(trial.state());
      return operations(fingerprint, (iterations) => trial.loop(iterations));
    },
  },
];

export const apply: MicroTrial = {
  name: 'apply',
  title: 'the ledger decides about a transaction and applies it',
  cases,
  variants,
  report: operationsReport(
    { cases, variants },
    { references: [{ variant: 'javascript', title: 'JavaScript' }], rate: perSecond, notes: [] },
  ),
};
