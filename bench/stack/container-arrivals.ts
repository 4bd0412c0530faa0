// Latency at the contest's arrivals in containers under their limits: what ships, beside the same chain
// made of HAProxy, which stores nothing, and beside the barest handoff that flushes.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Budget, Report } from '../lib/report.js';
import type { Trial } from '../lib/trial.js';
import { cellsOf, roundsOf, turnColumns } from './arrival-turns.js';
import type { Turn } from './arrival-turns.js';
import { besideChain, besideFloor, chainLimits } from './beside-chain.js';
import type { Orders } from './container-arrivals-player.js';
import { composeFiles, floorTitle } from './containers.js';
import { flushTitle, perSecond } from './flush-at-pace.js';
import { playInDocker, prepareContainers } from './in-docker.js';
import { haproxyChainTitle } from './limited-subjects.js';

/** In the order in which they take their turns. */
export const subjects = [
  flushTitle,
  ...composeFiles.map((name) => `docker/${name}.yml` as const),
  haproxyChainTitle,
  floorTitle,
];

function budgetsOf(played: ReadonlyMap<string, readonly Turn[]>): Budget[] {
  const turns = (subject: string): readonly Turn[] => played.get(subject)!;
  const chain = turns(haproxyChainTitle);
  const floor = turns(floorTitle);
  const ours = (['proxy', 'handoff'] as const).flatMap((name) => {
    const subject = `docker/${name}.yml`;
    return besideChain(subject, chainLimits[name], turns(subject), chain, turns(flushTitle));
  });
  const handoff = 'docker/handoff.yml';
  return [
    ...ours,
    ...besideFloor([handoff, turns(handoff)], [floorTitle, floor], chainLimits.handoff, chain),
  ];
}

export const containerArrivals: Trial = {
  name: 'container-arrivals',
  group: 'container-arrivals',
  title: "latency at the contest's arrivals in containers, under their limits",

  async run(context) {
    const report: Pick<Report, 'trial' | 'title' | 'columns'> = {
      trial: 'container-arrivals',
      title: this.title,
      columns: [{ key: 'what', title: `what gets ${perSecond} arrivals a second` }, ...turnColumns],
    };
    const prepared = await prepareContainers();
    if ('missing' in prepared) {
      return { ...report, rows: [], budgets: [], notes: [`Left out: ${prepared.missing}.`] };
    }
    const orders: Orders = {
      small: context.small,
      rounds: roundsOf(context),
      directory: context.directory,
      generator: prepared.programs('load_generator'),
      results: join(context.directory, 'turns.json'),
    };
    await playInDocker(context, 'container-arrivals-player', orders, prepared.programs);
    const results = JSON.parse(await readFile(orders.results, 'utf8')) as Turn[][];
    return {
      ...report,
      rows: results.map((turns, index) => ({ what: subjects[index]!, ...cellsOf(turns) })),
      budgets: budgetsOf(new Map(results.map((turns, index) => [subjects[index]!, turns]))),
      notes: [
        "The contest's mix, at even intervals, from the native load generator; latency counts from the moment a request was due.",
        'All containers are up all the time, and the load goes to one set after the other. HAProxy has the limits of docker/proxy.yml, the barest handoff those of docker/handoff.yml.',
        'The engine asks each of ours for its health every 80 s: all three about as often as one that ships (30 s). The load generator is in no container.',
        'The block alone is written and flushed past the page cache at the same intervals, between the others, without limits.',
      ],
    };
  },
};
