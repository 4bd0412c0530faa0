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
  /** Told of the directory that is kept after a failure; without it none is. */
  readonly onKept?: (directory: string) => void;
}

/** A directory of its own while `work` runs; kept when that fails and somebody wants to know. */
export async function inDirectory<Result>(
  { onKept }: Pick<CampaignOptions, 'onKept'>,
  work: (directory: string) => Promise<Result>,
): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), 'espora-prove-'));
  let kept = false;
  try {
    return await work(directory);
  } catch (error) {
    kept = onKept !== undefined;
    onKept?.(directory);
    throw error;
  } finally {
    if (!kept) await rm(directory, { recursive: true });
  }
}
