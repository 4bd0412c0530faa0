// The contest's score: the rest of a contract of USD 100,000.00 after the fines.

const contractUsd = 100_000;
/** Answers below this count as fast. */
export const fastBelowMs = 250;
const fastPercentDue = 98;
const finePerPercentUsd = 1000;
const finePerInconsistencyUsd = 803.01;

export interface Prize {
  /** Below 0 if the fines are higher than the contract. */
  readonly usd: number;
  /** Fine for less than 98 % of the requests answered right and below 250 ms. */
  readonly slowFineUsd: number;
  /** Fine for answers that show an inconsistent balance. */
  readonly inconsistencyFineUsd: number;
}

/** Only the whole test has the contest's prize; a shorter run has a score of its own. */
export function isWholeTest({ plan }: { readonly plan: string }): boolean {
  return plan === 'full';
}

function cents(usd: number): number {
  return Math.round(usd * 100) / 100;
}

/** `fastPercent`: percentage of requests with a right answer within 250 ms. */
export function prizeOf(fastPercent: number, inconsistencies: number): Prize {
  const slowFineUsd = cents(Math.max(0, fastPercentDue - fastPercent) * finePerPercentUsd);
  const inconsistencyFineUsd = cents(inconsistencies * finePerInconsistencyUsd);
  const usd = cents(contractUsd - slowFineUsd - inconsistencyFineUsd);
  return { usd, slowFineUsd, inconsistencyFineUsd };
}
