// What the campaigns of `npm run prove` share.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a campaign found wrong; how to repeat it is added by whoever runs it. */
export class CampaignFailure extends Error {
  readonly findings: readonly string[];

  constructor(where: string, findings: readonly string[]) {
    super([`${where}:`, ...findings.map((finding) => `  ${finding}`)].join('\n'));
    this.findings = findings;
  }
}

/** Throws if there is a finding. */
export function demand(where: string, findings: readonly string[]): void {
  if (findings.length > 0) throw new CampaignFailure(where, findings);
}

/** What every campaign is told. */
export interface CampaignOptions {
  readonly seed: number;
  /** Where a line about the progress goes. */
  readonly say: (line: string) => void;
}

/**
 * A directory of its own while `work` runs; kept when that fails, and named in `say`, unless the failure
 * is what is wanted.
 */
export async function inDirectory<Result>(
  { say }: Pick<CampaignOptions, 'say'>,
  work: (directory: string) => Promise<Result>,
  failureIsWanted = false,
): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), 'espora-prove-'));
  let result: Result;
  try {
    result = await work(directory);
  } catch (error) {
    if (failureIsWanted) await rm(directory, { recursive: true });
    else say(`what there was is kept in ${directory}`);
    throw error;
  }
  await rm(directory, { recursive: true });
  return result;
}
