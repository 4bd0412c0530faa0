// The whole service, and what it is compared with, under a load of the native generator.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildPrograms, runForJson } from '../lib/programs.js';
import type { Context } from '../lib/trial.js';
import { barest, espora, haproxyChain, limitsFor, nodePeer, splitOf } from './limited-subjects.js';
import type { Barest, Contestant, Running, Split } from './limited-subjects.js';

interface Seconds {
  readonly measured: number;
  readonly warmup: number;
}
export interface Load {
  readonly title: string;
  readonly args: readonly string[];
  readonly seconds: Seconds;
}

/** What every load tells the generator. */
export const connections = ['--connections', '64'];

// A peer that was just started gives its first answer after some tenths of a second.
const smallSeconds: Seconds = { measured: 0.2, warmup: 1 };

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

/** What the load generator prints, as far as it is used here. */
interface Printed {
  readonly requests_per_second: number;
  readonly answers: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly own_cpu_us_per_request: number;
}

/** A contestant at one split of the CPUs. */
export interface Entry {
  readonly subject: string;
  readonly split: string;
  readonly contestant: Contestant;
}

/** Plays a load on something that runs. */
export async function play(
  load: Load,
  running: Running,
  generator: string,
  { small, signal }: Pick<Context, 'small' | 'signal'>,
): Promise<Played> {
  const { measured, warmup } = small ? smallSeconds : load.seconds;
  const time = ['--seconds', String(measured), '--warmup', String(warmup)];
  const args = ['--target', `127.0.0.1:${running.port}`, ...time, ...load.args];
  const flushesBefore = await running.flushes();
  const cpuBefore = running.cpuSeconds();
  const printed = (await runForJson(
    { file: generator, args },
    { cpu: undefined, signal },
  )) as Printed;
  const cpu = running.cpuSeconds() - cpuBefore;
  const flushesAfter = await running.flushes();
  // The generator counts answers while it measures; the rest was the same load.
  const requests = printed.requests_per_second * (measured + warmup);
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
export async function startEntry(
  { subject, split, contestant }: Entry,
  context: Context,
): Promise<Running> {
  context.progress(`${subject}, ${split}`);
  const directory = join(context.directory, `service-${++turns}`);
  await mkdir(directory);
  return contestant.start(directory);
}

/** Starts a contestant afresh, and plays one load after the other. */
export async function playEntry(
  entry: Entry,
  loads: readonly Load[],
  generator: string,
  context: Context,
): Promise<readonly Played[]> {
  const running = await startEntry(entry, context);
  try {
    const results: Played[] = [];
    for (const load of loads) results.push(await play(load, running, generator, context));
    return results;
  } finally {
    await running.stop();
  }
}

export const proxyTitle = 'espora, proxy';
export const handoffTitle = 'espora, handoff';
export const peerTitle = 'nginx, 2 × fastify and pg, PostgreSQL';

// Of the 1.5 CPUs. The first of each is what the topology has by now.
export const relayed: readonly Split[] = [
  splitOf('proxy'),
  [0.55, 0.2, 0.55],
  [0.5, 0.25, 0.5],
  [0.3, 0.2, 0.8],
];
export const handed: readonly Split[] = [splitOf('handoff'), [0.95, 0.1, 0.35], [0.8, 0.15, 0.4]];
export const describe = ([database, api, balancer]: Split): string =>
  `database ${database}, api 2 × ${api}, balancer ${balancer}`;

type Make = (split: Split) => Contestant;
export const proxyAt: Make = (split) => espora('proxy', limitsFor(split));
export const handoffAt: Make = (split) => espora('handoff', limitsFor(split));
export const haproxyAt: Make = (split) => haproxyChain(limitsFor(split));
export const barestAt =
  (what: Barest): Make =>
  (split) =>
    barest(what, limitsFor(split));

export const entryAt = (subject: string, split: Split, make: Make): Entry => ({
  subject,
  split: describe(split),
  contestant: make(split),
});

export const peer: Entry = {
  subject: peerTitle,
  split: 'database 0.6, api 2 × 0.35, nginx 0.2',
  contestant: nodePeer,
};

/** What can't be played here, a sentence each. */
export function absentNotes(absent: readonly Entry[]): readonly string[] {
  const texts = absent.map(
    ({ subject, contestant }) => `Left out: ${subject}; missing: ${contestant.missing.join(', ')}.`,
  );
  return [...new Set(texts)];
}

/** The load generator, or why nothing can be played here. */
export async function findGenerator(): Promise<
  { readonly generator: string } | { readonly missing: string }
> {
  if (process.getuid!() !== 0)
    return { missing: 'Left out: control groups with limits need root.' };
  const programs = await buildPrograms();
  return programs === undefined
    ? { missing: 'Left out: it needs cmake.' }
    : { generator: programs('load_generator') };
}
