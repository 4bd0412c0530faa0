// The accounts of the contest.
import type { Account } from '#espora/options/accounts.js';

/** What a new store gets by default. */
export const defaultAccounts: readonly Account[] = Object.freeze(
  [
    { id: 1, limit: 100_000 },
    { id: 2, limit: 80_000 },
    { id: 3, limit: 1_000_000 },
    { id: 4, limit: 10_000_000 },
    { id: 5, limit: 500_000 },
  ].map((account) => Object.freeze(account)),
);
