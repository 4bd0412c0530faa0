// A run against services that the player started itself. Afterwards the database is killed, to check that
// everything acknowledged is still there.
import type { Subject } from '#espora/lab/subject.js';
import { playContest } from './contest.js';
import type { ContestOptions } from './contest.js';
import type { AfterKill, ContestResult } from './result.js';
import { auditAgain, authorityOf, resolveTarget, waitForService } from './service.js';
import { CommitSampler, ServiceSampler } from './service-samplers.js';

const backMs = 60_000;

/** Plays against `subject`, which keeps running. Rejects as `playContest` does. */
export async function playUnderLimits(
  subject: Subject,
  options: Omit<ContestOptions, 'host' | 'port' | 'samplers'>,
): Promise<ContestResult> {
  const services = subject.services.map(
    ({ name, limits, read }) => new ServiceSampler(name, limits, read),
  );
  const commits = new CommitSampler(subject.askDatabase);
  try {
    await commits.refresh();
    const { host, port } = subject;
    const samplers = [...services, commits];
    const result = await playContest({ ...options, host, port, samplers });
    await commits.refresh();
    const figures = {
      title: subject.title,
      limitsBy: subject.limitsBy,
      services: services.map((service) => service.figures()),
      commits: commits.figures(),
    };
    commits.stop();
    const afterKill =
      result.outcome === 'interrupted' ? undefined : await killAndAudit(subject, options, result);
    const lost = afterKill?.audit.some(({ problem }) => problem !== undefined) === true;
    return {
      ...result,
      outcome: lost ? 'failed' : result.outcome,
      underLimits: { ...figures, afterKill },
    };
  } finally {
    commits.stop();
  }
}

async function killAndAudit(
  subject: Subject,
  { plan, signal }: Pick<ContestOptions, 'plan' | 'signal'>,
  { audit }: ContestResult,
): Promise<AfterKill> {
  const target = await resolveTarget(subject);
  const authority = authorityOf(subject);
  const client = plan.accounts[0]!.id;
  const killedAt = performance.now();
  await subject.killDatabase();
  await waitForService({ target, authority, client, waitMs: backMs, signal });
  const backAfterMs = Math.round(performance.now() - killedAt);
  return { backAfterMs, audit: await auditAgain(target, authority, plan.accounts, audit, backMs) };
}
