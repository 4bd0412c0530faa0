// The process that `containers` starts with a Docker engine at hand: plays the whole contest against
// every compose file of docker/, and the contest's load against HAProxy and the barest handoff in our
// shape, in turn.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startCompose } from '#espora/contest/compose-project.js';
import { playPhases } from '#espora/contest/contest.js';
import { freePort } from '#espora/contest/free-port.js';
import { htmlReport } from '#espora/contest/html/html-report.js';
import { contestPlan, requestsOf } from '#espora/contest/plan.js';
import type { Plan, PlanOptions } from '#espora/contest/plan.js';
import type { ContestResult } from '#espora/contest/result.js';
import { ServiceSampler } from '#espora/contest/service-samplers.js';
import type { ServiceFigures } from '#espora/contest/service-samplers.js';
import { authorityOf, resolveTarget } from '#espora/contest/service.js';
import { playUnderLimits } from '#espora/contest/under-limits.js';
import { at } from '../lib/project.js';
import { barestShape, haproxyShape, startShape } from './container-shapes.js';
import type { Shape } from './container-shapes.js';
import { composeFiles, floorTitle } from './containers.js';
import { flushAtPace, flushTitle } from './flush-at-pace.js';
import type { Latency } from './flush-at-pace.js';
import { haproxyChainTitle } from './limited-subjects.js';
import { constantAccounts, loadAlone, smallLoad } from './load-alone.js';

const seed = 1;
const flushSeconds = 60;
const smallFlushSeconds = 0.1;

/** What this process is told. */
export interface Orders {
  readonly small: boolean;
  readonly rounds: number;
  /** Where reports and results of our own stay. */
  readonly reports: string;
  /** On the disk to measure; removed afterwards. */
  readonly scratch: string;
  /** The file for what was found. */
  readonly results: string;
}

export interface Round {
  readonly requests: number;
  readonly failures: number;
  /** Undefined: only the load was played. */
  readonly prizeUsd: number | undefined;
  readonly p50: number;
  readonly p99: number;
  readonly services: readonly ServiceFigures[];
}

/** Every round of each compose file, in their order, of HAProxy's chain, of the barest handoff, and of the flush alone. */
export interface Results {
  readonly files: readonly Round[][];
  readonly chain: Round[];
  readonly floor: Round[];
  readonly flush: Latency[];
}

async function playFile(name: string, plan: Plan, { reports }: Orders): Promise<Round> {
  const subject = await startCompose(at(`docker/${name}.yml`), { port: await freePort() });
  try {
    const result = await playUnderLimits(subject, { plan, seed });
    await writeFile(join(reports, `${name}.json`), JSON.stringify(result));
    await writeFile(join(reports, `${name}.html`), htmlReport(result));
    const { audit } = result.underLimits!.afterKill!;
    const problems = audit.flatMap(({ problem }) => problem ?? []);
    const failed = result.failureGroups[0] ?? problems[0];
    if (result.outcome !== 'passed') throw new Error(`${name}: ${JSON.stringify(failed)}`);
    return roundOf(result, result.underLimits!.services, result.prize.usd);
  } finally {
    await subject.stop();
  }
}

function roundOf(
  { requests, failures, all }: ContestResult,
  services: readonly ServiceFigures[],
  prize: number | undefined,
): Round {
  const { p50, p99 } = all.latencyMs;
  return { requests, failures, prizeUsd: prize, p50, p99, services };
}

/** The load alone: a constant passes no check. */
async function playShape(shape: Shape, load: PlanOptions, { scratch }: Orders): Promise<Round> {
  const subject = await startShape(shape, scratch);
  try {
    const plan = loadAlone(load, constantAccounts);
    const samplers = subject.services.map(
      ({ name, limits, read }) => new ServiceSampler(name, limits, read),
    );
    const target = await resolveTarget(subject);
    const result = await playPhases({
      plan,
      target,
      authority: authorityOf(subject),
      seed,
      samplers,
    });
    if (result.failures > 0) throw new Error(JSON.stringify(result.failureGroups[0]));
    return roundOf(
      result,
      samplers.map((sampler) => sampler.figures()),
      undefined,
    );
  } finally {
    await subject.stop();
  }
}

async function playAll(orders: Orders): Promise<void> {
  const load = orders.small ? smallLoad : {};
  const plan = contestPlan(load);
  const results: Results = { files: composeFiles.map(() => []), chain: [], floor: [], flush: [] };
  const say = (text: string): void => void process.stderr.write(`containers: ${text}\n`);
  for (let round = 0; round < orders.rounds; round++) {
    for (const [index, name] of composeFiles.entries()) {
      say(`docker/${name}.yml, ${requestsOf(plan)} requests`);
      results.files[index]!.push(await playFile(name, plan, orders));
    }
    say(haproxyChainTitle);
    results.chain.push(await playShape(haproxyShape, load, orders));
    say(floorTitle);
    results.floor.push(await playShape(barestShape, load, orders));
    say(flushTitle);
    const seconds = orders.small ? smallFlushSeconds : flushSeconds;
    results.flush.push(await flushAtPace(join(orders.scratch, `flushed-${round}`), seconds));
  }
  await writeFile(orders.results, JSON.stringify(results));
}

await playAll(JSON.parse(process.argv[2]!) as Orders);
