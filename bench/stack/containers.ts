// The whole contest in containers under its limits, for every compose file of docker/, and beside them
// the load of the contest on the same chain made of HAProxy before a constant answer, and on the barest
// handoff that flushes, in containers with the limits of `proxy` and of `handoff`; and what the disk alone
// takes for a flush.

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServiceFigures } from '#espora/contest/service-samplers.js';
import { at } from '../lib/project.js';
import { budget } from '../lib/report.js';
import type { Budget, Report } from '../lib/report.js';
import { figureOf } from '../lib/statistics.js';
import type { Trial } from '../lib/trial.js';
import { besideChain, besideFloor, chainLimits } from './beside-chain.js';
import type { Orders, Results, Round } from './containers-player.js';
import { flushTitle } from './flush-at-pace.js';
import { playInDocker, prepareContainers } from './in-docker.js';
import { barestTitle, haproxyChainTitle } from './limited-subjects.js';

export const composeFiles = ['proxy', 'handoff', 'nginx'] as const;
const rounds = 3;
// Whatever was asked has to be answered right: the contest's whole prize.
const prizeUsd = 100_000;

const columns: Report['columns'] = [
  { key: 'what', title: 'containers' },
  { key: 'requests', title: 'requests' },
  { key: 'failures', title: 'failures' },
  { key: 'prize', title: 'prize, USD' },
  { key: 'p50', title: 'p50 ms' },
  { key: 'p99', title: 'p99' },
  { key: 'cpu', title: 'CPU, most used of a limit', suffix: ' %' },
  { key: 'throttled', title: 'throttled periods, most of any container', suffix: ' %' },
  { key: 'memory', title: 'memory, most of any limit', suffix: ' %' },
];

const most = (round: Round, of: (service: ServiceFigures) => number): number =>
  Math.max(...round.services.map(of));
const throttled = (round: Round): number => most(round, (one) => one.throttledPercent);
const memory = (round: Round): number => most(round, (one) => one.memoryPercentOfLimit);

function rowOf(what: string, rounds: readonly Round[]): Report['rows'][number] {
  const figure = (of: (round: Round) => number) => figureOf(rounds.map(of));
  const prizes = rounds.flatMap(({ prizeUsd: prize }) => prize ?? []);
  return {
    what,
    requests: rounds[0]!.requests,
    failures: rounds.reduce((sum, { failures }) => sum + failures, 0),
    ...(prizes.length > 0 ? { prize: Math.min(...prizes) } : {}),
    p50: figure(({ p50 }) => p50),
    p99: figure(({ p99 }) => p99),
    cpu: figure((round) => most(round, (one) => one.cpuPercentOfLimit)),
    throttled: figure(throttled),
    memory: figure(memory),
  };
}

export const floorTitle = barestTitle({ topology: 'handoff', stores: true });

function budgetsOf({ files, chain, floor, flush }: Results): Budget[] {
  const each = composeFiles.flatMap((name, index): Budget[] => {
    const own = files[index]!;
    const prizes = figureOf(own.map(({ prizeUsd: prize }) => prize! / prizeUsd));
    return [
      budget(`docker/${name}.yml: part of the prize`, prizes, '≥', 1),
      budget(`docker/${name}.yml: throttled periods, %`, figureOf(own.map(throttled)), '≤', 1),
      budget(`docker/${name}.yml: memory, % of a limit`, figureOf(own.map(memory)), '≤', 70),
    ];
  });
  const ratios = (['proxy', 'handoff'] as const).flatMap((name) => {
    const ours = files[composeFiles.indexOf(name)]!;
    return besideChain(`docker/${name}.yml`, chainLimits[name], ours, chain, flush);
  });
  const handoff = files[composeFiles.indexOf('handoff')]!;
  return [
    ...each,
    ...ratios,
    ...besideFloor(
      ['docker/handoff.yml', handoff],
      [floorTitle, floor],
      chainLimits.handoff,
      chain,
    ),
  ];
}

export const containers: Trial = {
  name: 'containers',
  group: 'containers',
  title: 'the whole contest in containers, under its limits',

  async run(context) {
    const report = { trial: 'containers', title: this.title, columns };
    const leftOut = (why: string): Report => ({
      ...report,
      rows: [],
      budgets: [],
      notes: [`Left out: ${why}.`],
    });
    const prepared = await prepareContainers();
    if ('missing' in prepared) return leftOut(prepared.missing);
    const reports = at('.build/containers');
    await mkdir(reports, { recursive: true });
    const orders: Orders = {
      small: context.small,
      rounds: context.small ? 1 : rounds,
      reports,
      scratch: context.directory,
      results: join(context.directory, 'containers.json'),
    };
    await playInDocker(context, 'containers-player', orders, prepared.programs);
    const results = JSON.parse(await readFile(orders.results, 'utf8')) as Results;
    return {
      ...report,
      rows: [
        ...composeFiles.map((name, index) => rowOf(`docker/${name}.yml`, results.files[index]!)),
        rowOf(haproxyChainTitle, results.chain),
        rowOf(floorTitle, results.floor),
        {
          what: flushTitle,
          p50: figureOf(results.flush.map(({ p50 }) => p50)),
          p99: figureOf(results.flush.map(({ p99 }) => p99)),
        },
      ],
      budgets: budgetsOf(results),
      notes: [
        'The whole test each, one after the other, in several rounds; the database is killed at the end of each of ours, and what was acknowledged is there.',
        'HAProxy and the barest handoff get the load alone: a constant passes no check. Every container has the limits of its compose file, HAProxy those of docker/proxy.yml, the barest handoff those of docker/handoff.yml.',
        'The player is in no container, and shares the two CPUs with them.',
        'Only ours are watched beside the load: the engine asks for health every 30 s, the player for the commits once a second.',
        'The block alone is written and flushed past the page cache at the same rate for a minute of each round, without limits.',
        'Reports and results of the last round are left in .build/containers.',
      ],
    };
  },
};
