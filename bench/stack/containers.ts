// The whole contest in containers under its limits, for every compose file of docker/, and beside them
// the load of the contest on the same chain made of HAProxy before a constant answer, and on the minimal
// handoff that flushes, in containers with the limits of `relay` and of `handoff`; and what the disk alone
// takes for a flush. All are up all the time and play in turns: what is compared shares its minutes.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServiceFigures } from '#espora/contest/service-samplers.js';
import { budget } from '../lib/report.js';
import type { Budget, Report } from '../lib/report.js';
import { figureOf } from '../lib/statistics.js';
import type { Trial } from '../lib/trial.js';
import { besideChain, besideFloor, besideOther, chainLimits } from './beside-chain.js';
import { composeFiles, floorTitle, titles } from './container-contestants.js';
import type { Orders, Played, Results } from './containers-player.js';
import { flushTitle } from './flush-at-pace.js';
import type { Latency } from './flush-at-pace.js';
import { playInDocker, missingForContainers } from './in-docker.js';
import { haproxyChainTitle } from './shape.js';

const seconds = { turnSeconds: 5, flushSeconds: 2 };
const smallSeconds = { turnSeconds: 1, flushSeconds: 0.1 };
// Of a turn with less than a thousand requests the 99th percentile would be a single one: the first
// turns of the ramp.
const enoughRequests = 1000;
// Whatever was asked must be answered right: the contest's whole prize.
const prizeUsd = 100_000;

const columns: Report['columns'] = [
  { key: 'what', title: 'containers' },
  { key: 'requests', title: 'requests' },
  { key: 'failures', title: 'failures' },
  { key: 'prize', title: 'prize, USD' },
  { key: 'p50', title: 'p50 ms of a turn' },
  { key: 'p99', title: 'p99 of a turn' },
  { key: 'p50OfAll', title: 'p50 of all requests' },
  { key: 'p99OfAll', title: 'p99 of all' },
  { key: 'cpu', title: 'CPU in the busiest second, most of a limit', suffix: ' %' },
  { key: 'throttled', title: 'throttled periods, most of any container', suffix: ' %' },
  { key: 'memory', title: 'memory, most of any limit', suffix: ' %' },
  { key: 'player', title: "player's CPU", suffix: ' %' },
];

const most = ({ services }: Played, of: (service: ServiceFigures) => number): number =>
  Math.max(...services.map(of));
const throttled = (played: Played): number => most(played, (one) => one.throttledPercent);
const memory = (played: Played): number => most(played, (one) => one.memoryPercentOfLimit);

/** The turns that are compared. */
interface Turns {
  readonly of: (title: string) => readonly Latency[];
  readonly flush: readonly Latency[];
}

function comparedTurns({ played, flush }: Results, small: boolean): Turns {
  const enough = played[0]!.turns.map(({ requests }) => small || requests >= enoughRequests);
  const kept = (_: unknown, turn: number): boolean => enough[turn] === true;
  return {
    of: (title) =>
      played[titles.indexOf(title)]!.turns.map(({ latencyMs }) => latencyMs).filter(kept),
    flush: flush.filter(kept),
  };
}

const latencyCells = (turns: readonly Latency[]): Report['rows'][number] => ({
  p50: figureOf(turns.map(({ p50 }) => p50)),
  p99: figureOf(turns.map(({ p99 }) => p99)),
});

function rowOf(what: string, played: Played, turns: readonly Latency[]): Report['rows'][number] {
  const { requests, failures, prizeUsd: prize, all, playerPercent } = played;
  return {
    what,
    requests: requests.toLocaleString('en'),
    failures,
    ...(prize === undefined ? {} : { prize }),
    ...latencyCells(turns),
    p50OfAll: all.p50,
    p99OfAll: all.p99,
    cpu: most(played, (one) => one.cpuPercentOfLimitMax),
    throttled: throttled(played),
    memory: memory(played),
    player: playerPercent,
  };
}

function budgetsOf({ played }: Results, turns: Turns): Budget[] {
  const each = composeFiles.flatMap((_, index): Budget[] => {
    const own = played[index]!;
    const file = titles[index]!;
    return [
      budget(`${file}: part of the prize`, figureOf([own.prizeUsd! / prizeUsd]), '≥', 1),
      budget(`${file}: throttled periods, %`, figureOf([throttled(own)]), '≤', 1),
      budget(`${file}: memory, % of a limit`, figureOf([memory(own)]), '≤', 70),
    ];
  });
  const chain = turns.of(haproxyChainTitle);
  const ratios = (['relay', 'handoff'] as const).flatMap((name) => {
    const file = `docker/${name}.yml`;
    const limit = chainLimits[name];
    const whole = besideOther(
      `${file}: {} of all requests over that of HAProxy's chain`,
      limit,
      [played[titles.indexOf(file)]!.all],
      [played[titles.indexOf(haproxyChainTitle)]!.all],
    );
    return [...whole, ...besideChain(file, limit, turns.of(file), chain, turns.flush)];
  });
  const handoff = 'docker/handoff.yml';
  return [
    ...each,
    ...ratios,
    ...besideFloor(
      [handoff, turns.of(handoff)],
      [floorTitle, turns.of(floorTitle)],
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
    const missing = missingForContainers();
    if (missing !== undefined) {
      return { ...report, rows: [], budgets: [], notes: [`Left out: ${missing}.`] };
    }
    const orders: Orders = {
      small: context.small,
      ...(context.small ? smallSeconds : seconds),
      scratch: context.directory,
      results: join(context.directory, 'containers.json'),
    };
    await playInDocker(context, 'containers-player', orders);
    const results = JSON.parse(await readFile(orders.results, 'utf8')) as Results;
    const turns = comparedTurns(results, context.small);
    return {
      ...report,
      rows: [
        ...titles.map((what, index) => rowOf(what, results.played[index]!, turns.of(what))),
        { what: flushTitle, ...latencyCells(turns.flush) },
      ],
      budgets: budgetsOf(results, turns),
      notes: [
        'The whole test each, and all in the same minutes: 5 s of the load of one, then 5 s of the next. At the end of each of ours the database is killed, and what was acknowledged is there.',
        "All other ratios are those of turns, each over the other one's turn beside it; turns of the ramp with less than 1,000 requests are left out.",
        'HAProxy and the minimal handoff get the load alone: a constant passes no check. Every container has the limits of its compose file, HAProxy those of docker/relay.yml, the minimal handoff those of docker/handoff.yml.',
        'All containers are up all the time. The player is in none, and shares the two CPUs with them.',
        'The engine asks each of ours for its health every 80 s, whoever plays: all three about as often as one that ships (30 s). The player asks the database that plays for its commits once a second.',
        'The block alone is written and flushed past the page cache at the same rate for 2 s between the turns, without limits.',
      ],
    };
  },
};
