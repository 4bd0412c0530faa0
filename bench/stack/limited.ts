// The service under the contest's limits: the highest rate of arrivals that it holds, beside other
// software under the same limits, and which split of the CPUs holds the most.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { saturate } from '#espora/contest/saturation.js';
import type { Saturation, SearchOptions } from '#espora/contest/saturation.js';
import { fullSearch } from '#espora/contest/saturation.js';
import { topologies } from '#espora/topology/index.js';
import { nativeProgram } from '../lib/processes.js';
import type { Report } from '../lib/report.js';
import { figureOf, takeTurns } from '../lib/statistics.js';
import type { Context, Trial } from '../lib/trial.js';
import { espora, inOurShape, limitsFor, nodePeer } from './contestants.js';
import type { Contestant } from './contestants.js';
import { haproxyChain } from './shape.js';
import { absentNotes, cannotLimit, describe, splits } from './whole-service.js';

const rounds = 2;
const secondsPerStep = 3;
const smallSearch: SearchOptions = { firstRate: 100, factor: 2, lastRate: 200, precision: 1 };
const smallSecondsPerStep = 0.5;

interface Held {
  readonly perConnection: Saturation;
  readonly kept: Saturation;
}

let turns = 0;

/** Starts a contestant afresh, and finds what it holds in both ways of connecting. */
async function play(contestant: Contestant, context: Context): Promise<Held> {
  const { small, signal, progress } = context;
  progress(contestant.title);
  const directory = join(context.directory, String(++turns));
  await mkdir(directory);
  const running = await contestant.start(directory);
  const search = (connections: Saturation['connections']): Promise<Saturation> =>
    saturate({
      generator: nativeProgram('load_generator'),
      target: `127.0.0.1:${running.port}`,
      seconds: small ? smallSecondsPerStep : secondsPerStep,
      search: small ? smallSearch : fullSearch,
      connections,
      signal,
    });
  try {
    return { perConnection: await search('one per request'), kept: await search('kept') };
  } finally {
    await running.stop();
  }
}

function generatorCpu(held: readonly Held[]): number {
  const steps = held.flatMap(({ perConnection, kept }) => [...perConnection.steps, ...kept.steps]);
  return Math.max(...steps.map(({ generatorCpuPercent }) => generatorCpuPercent));
}

async function compare(
  trial: Pick<Trial, 'name' | 'title'>,
  contestants: readonly Contestant[],
  context: Context,
  notes: readonly string[],
): Promise<Report> {
  const present = contestants.filter(({ missing }) => missing.length === 0);
  const players = present.map((contestant) => () => play(contestant, context));
  const reason = cannotLimit();
  const results = reason === undefined ? await takeTurns(players, context.small ? 1 : rounds) : [];
  return {
    trial: trial.name,
    title: trial.title,
    columns: [
      { key: 'what', title: 'service' },
      { key: 'perConnection', title: 'held, a connection each', suffix: '/s' },
      { key: 'kept', title: 'held, 64 kept', suffix: '/s' },
      { key: 'generator', title: "generator's CPU, most", suffix: ' %' },
    ],
    rows: results.map((held, index) => ({
      what: present[index]!.title,
      perConnection: figureOf(held.map(({ perConnection }) => perConnection.heldRate)),
      kept: figureOf(held.map(({ kept }) => kept.heldRate)),
      generator: generatorCpu(held),
    })),
    budgets: [],
    notes: [...notes, ...(reason === undefined ? [] : [reason]), ...absentNotes(contestants)],
  };
}

export const saturation: Trial = {
  name: 'saturation',
  group: 'limits',
  title: 'highest rate of arrivals held with a p99 up to 10 ms, 1.5 CPUs and 550 MiB in all',
  run(context) {
    const own = Object.keys(topologies)
      .filter((name) => name !== 'single')
      .map((name) => espora(name as keyof typeof topologies));
    return compare(this, [...own, inOurShape(haproxyChain), nodePeer], context, [
      'Every process in a control group of its own; espora and PostgreSQL flush before they answer.',
      "The contest's mix; the rate rises by half until it is not held, then the gap is halved down to 5 %.",
    ]);
  },
};

// As many of the splits of each topology, the one that it has by now first.
const splitsPlayed = 3;

export const cpuShares: Trial = {
  name: 'cpu-shares',
  group: 'limits',
  title: 'how the 1.5 CPUs are best split between the services of a topology',
  run(context) {
    const contestants = (['relay', 'handoff'] as const).flatMap((name) =>
      splits[name].slice(0, context.small ? 1 : splitsPlayed).map((split): Contestant => ({
        ...espora(name, limitsFor(split)),
        title: `${name}: ${describe(split)}`,
      })),
    );
    return compare(this, contestants, context, ['What a topology has by now is its first row.']);
  },
};
