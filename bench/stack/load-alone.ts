// The contest's load without the phases that check what only a service knows: what a server that
// answers a constant can be played with.

import { contestPlan } from '#espora/contest/plan.js';
import type { Plan, PlanOptions } from '#espora/contest/plan.js';

/** The same peak rates for two seconds, for continuous integration. */
export const smallLoad: PlanOptions = { name: 'small', rampSeconds: 1, plateauSeconds: 1 };

/** The accounts of the constant server: it has one limit for all. */
export const constantAccounts = [1, 2, 3, 4, 5].map((id) => ({ id, limit: 100_000 }));

export function loadAlone(options: PlanOptions, accounts: PlanOptions['accounts']): Plan {
  const plan = contestPlan({ ...options, ...(accounts === undefined ? {} : { accounts }) });
  return { ...plan, phases: plan.phases.filter(({ kind }) => kind === 'load') };
}
