// The ledger decides about a transaction and lets it take effect.

import { loadAddon } from '../lib/addon.js';
import { Ledger } from './javascript/ledger.js';
import type { Contestant } from './micro-trial.js';
import { fingerprintOf, looped, operations, operationsTrial, variantsOf } from './operations.js';
import type { Loop } from './operations.js';
import { accounts, balancedTransactions as pool } from './workload.js';

/** The fingerprint is what accounts are like after the pool was applied once. */
function applied(loop: Loop, ledger: { state(): number[] }): Contestant {
  loop(pool.length);
  return operations(fingerprintOf(ledger.state().join(' ')), loop);
}

export const apply = operationsTrial({
  name: 'apply',
  title: 'the ledger decides about a transaction and applies it',
  cases: { contest: 'five accounts, credits and debits' },
  variants: variantsOf({
    javascript() {
      const ledger = new Ledger(accounts);
      const loop = looped(pool, (entry) => ledger.apply(entry, entry.time)?.balance ?? 0);
      return applied(loop, ledger);
    },
    call() {
      const trial = new (loadAddon().ApplyTrial)(pool);
      const loop = looped(
        pool,
        ({ account, credit, amount, time, description }) =>
          trial.one(account, credit, amount, time, description) || 0,
      );
      return applied(loop, trial);
    },
    native() {
      const trial = new (loadAddon().ApplyTrial)(pool);
      return applied((iterations) => trial.loop(iterations), trial);
    },
  }),
});
