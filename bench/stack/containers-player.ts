// The process that `containers` starts with a Docker engine at hand: plays the whole contest against
// every compose file of docker/, and the contest's load against HAProxy and the minimal handoff in our
// shape, all of them in turns.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { playPhases } from '#espora/contest/contest.js';
import type { Turns } from '#espora/contest/load.js';
import { contestPlan } from '#espora/contest/plan.js';
import type { Plan } from '#espora/contest/plan.js';
import type { ContestResult } from '#espora/contest/result.js';
import { ServiceSampler } from '#espora/contest/service-samplers.js';
import type { ServiceFigures } from '#espora/contest/service-samplers.js';
import { authorityOf, resolveTarget } from '#espora/contest/service.js';
import type { TurnFigures } from '#espora/contest/stage.js';
import type { FailureGroup } from '#espora/contest/tally.js';
import { playUnderLimits } from '#espora/contest/under-limits.js';
import type { Subject } from '#espora/lab/subject.js';
import { withAll } from './arrival-turns.js';
import { Baton } from './baton.js';
import { composeFiles, starts, titles } from './container-contestants.js';
import { flushAtPace, flushTitle } from './flush-at-pace.js';
import type { Latency } from './flush-at-pace.js';
import { runPlayer } from './in-docker.js';
import { constantAccounts, loadAlone, smallLoad } from './load-alone.js';

const seed = 1;

/** What this process is told. */
export interface Orders {
  readonly small: boolean;
  /** Of the load in each turn. */
  readonly turnSeconds: number;
  readonly flushSeconds: number;
  /** On the disk to measure; removed afterwards. */
  readonly scratch: string;
  /** The file for what was found. */
  readonly results: string;
}

/** A whole contest, or its load alone. */
export interface Played {
  readonly requests: number;
  readonly failures: number;
  /** Undefined: only the load was played. */
  readonly prizeUsd: number | undefined;
  /** Of all requests. */
  readonly all: Latency;
  readonly turns: readonly TurnFigures[];
  readonly services: readonly ServiceFigures[];
  /** Of one CPU, while it was its turn. */
  readonly playerPercent: number;
}

export interface Results {
  /** What came of each of `titles`. */
  readonly played: readonly Played[];
  /** The flush alone: before each of their turns, and once at the end. */
  readonly flush: readonly Latency[];
}

type Outcome = Omit<Played, 'playerPercent'>;

const outcomeOf = (
  { requests, failures, all, turns }: ContestResult,
  services: readonly ServiceFigures[],
  prizeUsd?: number,
): Outcome => ({
  requests,
  failures,
  prizeUsd,
  all: { p50: all.latencyMs.p50, p99: all.latencyMs.p99 },
  turns: turns!,
  services,
});

const failure = (what: string, first: FailureGroup | string | undefined): Error =>
  new Error(`${what}: ${JSON.stringify(first)}`);

/** The whole contest; the database is killed at its end. */
async function playFile(
  what: string,
  running: Subject,
  plan: Plan,
  turns: Turns,
): Promise<Outcome> {
  const result = await playUnderLimits(running, { plan, seed, turns });
  const problems = result.underLimits!.afterKill!.audit.flatMap(({ problem }) => problem ?? []);
  const failed = result.failureGroups[0] ?? problems[0];
  if (result.outcome !== 'passed') throw failure(what, failed);
  return outcomeOf(result, result.underLimits!.services, result.prize.usd);
}

/** The load alone: a constant passes no check. */
async function playLoadAlone(
  what: string,
  running: Subject,
  plan: Plan,
  turns: Turns,
): Promise<Outcome> {
  const samplers = running.services.map(
    ({ name, limits, read }) => new ServiceSampler(name, limits, read),
  );
  const target = await resolveTarget(running);
  const authority = authorityOf(running);
  const result = await playPhases({ plan, target, authority, seed, samplers, turns });
  if (result.failures > 0) throw failure(what, result.failureGroups[0]);
  return outcomeOf(
    result,
    samplers.map((sampler) => sampler.figures()),
  );
}

async function playAll(orders: Orders): Promise<void> {
  const { small, turnSeconds, flushSeconds, scratch } = orders;
  const say = (text: string): void => void process.stderr.write(`containers: ${text}\n`);
  const load = small ? smallLoad : {};
  const whole = contestPlan(load);
  const alone = loadAlone(load, constantAccounts);
  const baton = new Baton();
  const flush: Latency[] = [];
  let allPlayed = false;

  async function play(contestant: Subject, index: number): Promise<Played> {
    const what = titles[index]!;
    let turn = 1;
    const { result, cpuPercent } = await baton.hold(async (pass) => {
      const turns = {
        seconds: turnSeconds,
        between: async (failed: readonly FailureGroup[]): Promise<void> => {
          // What the others must still play takes minutes.
          if (failed.length > 0) throw failure(what, failed[0]);
          await pass();
          say(`${what}, turn ${++turn}`);
        },
      };
      say(what);
      return composeFiles[index] === undefined
        ? playLoadAlone(what, contestant, alone, turns)
        : playFile(what, contestant, whole, turns);
    });
    return { ...result, playerPercent: cpuPercent };
  }

  async function playFlush(): Promise<void> {
    await baton.hold(async (pass) => {
      while (!allPlayed) {
        say(flushTitle);
        flush.push(await flushAtPace(join(scratch, `flushed-${flush.length}`), flushSeconds));
        await pass();
      }
    });
  }

  const played = await withAll(starts(scratch), async (running) => {
    const flushing = playFlush();
    const all = await Promise.all(running.map(play));
    allPlayed = true;
    await flushing;
    return all;
  });
  const results: Results = { played, flush };
  await writeFile(orders.results, JSON.stringify(results));
}

await runPlayer(playAll);
