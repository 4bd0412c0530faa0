// The whole service, and what it is compared with, under a load of the native generator.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context } from '../lib/trial.js';
import { espora, inOurShape, limitsFor, nodePeer, splitOf } from './contestants.js';
import type { Contestant, Running, Split } from './contestants.js';
import { generate } from './load.js';
import type { Seconds } from './load.js';
import { haproxyChain, minimal } from './shape.js';
import type { Software } from './shape.js';

export interface Load {
  readonly title: string;
  readonly args: readonly string[];
  readonly seconds: Seconds;
}

// A peer that was just started gives its first answer after some tenths of a second, on a busy machine after two.
const smallSeconds: Seconds = { measured: 0.2, warmup: 2 };

/** One load on one contestant. */
export interface Played {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  /** Of all services, µs for each request. */
  readonly cost: number;
  readonly generatorPercent: number;
  /** For each request; undefined: nothing is stored. */
  readonly flushes: number | undefined;
}

/** A contestant at one split of the CPUs. */
export interface SplitContestant extends Contestant {
  readonly split: string;
}

/** Plays a load on something that runs. */
export async function play(
  load: Load,
  running: Running,
  { small, signal }: Pick<Context, 'small' | 'signal'>,
): Promise<Played> {
  const seconds = small ? smallSeconds : load.seconds;
  const flushesBefore = await running.flushes();
  const cpuBefore = running.cpuSeconds();
  const printed = await generate(running.port, seconds, load.args, { signal });
  const cpu = running.cpuSeconds() - cpuBefore;
  const flushesAfter = await running.flushes();
  // The generator counts answers while it measures; the rest was the same load.
  const requests = printed.requests_per_second * (seconds.measured + seconds.warmup);
  return {
    rate: printed.requests_per_second,
    p50: printed.p50_ms,
    p99: printed.p99_ms,
    cost: (cpu * 1e6) / requests,
    generatorPercent: printed.requests_per_second * printed.own_cpu_us_per_request * 1e-4,
    flushes:
      flushesBefore === undefined || flushesAfter === undefined
        ? undefined
        : (flushesAfter - flushesBefore) / requests,
  };
}

let turns = 0;

/** Starts a contestant on an empty directory. */
export async function startContestant(
  contestant: SplitContestant,
  context: Context,
): Promise<Running> {
  context.progress(`${contestant.title}, ${contestant.split}`);
  const directory = join(context.directory, `service-${++turns}`);
  await mkdir(directory);
  return contestant.start(directory);
}

/** Starts a contestant afresh, and plays one load after the other. */
export async function playContestant(
  contestant: SplitContestant,
  loads: readonly Load[],
  context: Context,
): Promise<readonly Played[]> {
  const running = await startContestant(contestant, context);
  try {
    const results: Played[] = [];
    for (const load of loads) results.push(await play(load, running, context));
    return results;
  } finally {
    await running.stop();
  }
}

// Of the 1.5 CPUs. The first of each is what the topology has by now.
export const splits: Readonly<Record<'relay' | 'handoff', readonly Split[]>> = {
  relay: [splitOf('relay'), [0.55, 0.2, 0.55], [0.5, 0.25, 0.5], [0.3, 0.2, 0.8]],
  handoff: [splitOf('handoff'), [0.95, 0.1, 0.35], [0.8, 0.15, 0.4]],
};
export const describe = ([database, api, balancer]: Split): string =>
  `database ${database}, api 2 × ${api}, balancer ${balancer}`;

/** What can be played at any split of the CPUs. */
export interface Service {
  readonly title: string;
  readonly splits: readonly Split[];
  readonly at: (split: Split) => SplitContestant;
}

const service = (
  topology: keyof typeof splits,
  make: (limits: ReturnType<typeof limitsFor>) => Contestant,
): Service => ({
  title: make({}).title,
  splits: splits[topology],
  at: (split) => ({ ...make(limitsFor(split)), split: describe(split) }),
});
const ours = (topology: keyof typeof splits): Service =>
  service(topology, (limits) => espora(topology, limits));
const others = (software: Software): Service =>
  service(software.topology, (limits) => inOurShape(software, limits));

export const relay = ours('relay');
export const handoff = ours('handoff');
export const haproxy = others(haproxyChain);
/** The least that could be called the same, of each topology. */
export const minimalRelays = (stores: boolean): Service =>
  others(minimal({ topology: 'relay', stores }));
export const minimalHandoff = (stores: boolean): Service =>
  others(minimal({ topology: 'handoff', stores }));
export const peer: SplitContestant = {
  ...nodePeer,
  split: 'database 0.6, api 2 × 0.35, nginx 0.2',
};

/** What cannot be played here, a sentence each. */
export function absentNotes(
  contestants: readonly Pick<Contestant, 'title' | 'missing'>[],
): readonly string[] {
  const absent = contestants.filter(({ missing }) => missing.length > 0);
  const texts = absent.map(
    ({ title, missing }) => `Left out: ${title}; missing: ${missing.join(', ')}.`,
  );
  return [...new Set(texts)];
}

/** Why nothing can be played under limits here; undefined: it can. */
export const cannotLimit = (): string | undefined =>
  process.getuid!() === 0 ? undefined : 'Left out: control groups with limits need root.';
