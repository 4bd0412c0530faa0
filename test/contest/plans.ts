// Short plans with everything in them that the long one has, and a run against a local port.
import { playContest } from '#espora/contest/contest.js';
import type { ContestOptions } from '#espora/contest/contest.js';
import { contestPlan } from '#espora/contest/plan.js';
import type { Plan } from '#espora/contest/plan.js';
import type { ContestResult } from '#espora/contest/result.js';

/** The whole test with less than a second of load. */
export const short: Plan = contestPlan({
  name: 'short',
  rampSeconds: 0.3,
  plateauSeconds: 0.4,
  debitsPerSecond: 60,
  creditsPerSecond: 40,
  statementsPerSecond: 30,
});

/** All phases but the load. */
export const validations: Plan = {
  ...short,
  phases: short.phases.filter(({ kind }) => kind !== 'load'),
};

/** The load alone. */
export const load: Plan = { ...short, phases: short.phases.filter(({ kind }) => kind === 'load') };

// Tests of one file run at the same time: more players than this would only starve each other.
const playersMax = 4;
let players = 0;
const waiting: (() => void)[] = [];

/** Plays on 127.0.0.1, a few at a time. */
export async function playOn(
  port: number,
  plan: Plan,
  options: Partial<ContestOptions> = {},
): Promise<ContestResult> {
  if (players === playersMax) await new Promise<void>((resolve) => waiting.push(resolve));
  else players++;
  try {
    return await playContest({ host: '127.0.0.1', port, plan, seed: 1, ...options });
  } finally {
    const next = waiting.shift();
    if (next === undefined) players--;
    else next();
  }
}
