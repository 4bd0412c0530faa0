// Latency at the contest's arrivals within 1.5 CPUs: the whole service beside the same chain made of
// HAProxy, which stores nothing, beside the least that could be called the same, which is the floor of
// kernel and disk, and beside what the disk alone takes for the flush in each answer.

import type { Budget, Report } from '../lib/report.js';
import { takeTurns } from '../lib/statistics.js';
import type { Trial } from '../lib/trial.js';
import {
  arrivalsLoad,
  cellsOf,
  playFlush,
  roundsOf,
  turnColumns,
  withAll,
} from './arrival-turns.js';
import type { Turn } from './arrival-turns.js';
import { besideChain, besideFloor, chainLimits } from './beside-chain.js';
import { flushTitle } from './flush-at-pace.js';
import { perSecond } from './load.js';
import {
  absentNotes,
  cannotLimit,
  handoff,
  haproxy,
  minimalHandoff,
  minimalRelays,
  peer,
  play,
  relay,
  startContestant,
} from './whole-service.js';

const [relays, handoffs] = [minimalRelays(true), minimalHandoff(true)];
const contestants = [
  ...[relay, handoff, haproxy, relays, handoffs].map(({ splits, at }) => at(splits[0]!)),
  peer,
];

/** Ours, and the least that could be called the same. */
const pairs = [
  [relay.title, chainLimits.relay, relays.title],
  [handoff.title, chainLimits.handoff, handoffs.title],
] as const;

function budgetsOf(played: ReadonlyMap<string, readonly Turn[]>): Budget[] {
  const [chain, flush] = [played.get(haproxy.title), played.get(flushTitle)];
  return pairs.flatMap(([title, limit, floorTitle]) => {
    const [ours, floor] = [played.get(title)!, played.get(floorTitle)];
    return [
      ...(chain && flush ? besideChain(title, limit, ours, chain, flush) : []),
      ...(floor ? besideFloor([title, ours], [floorTitle, floor], limit, chain) : []),
    ];
  });
}

export const arrivals: Trial = {
  name: 'arrivals',
  group: 'arrivals',
  title: "latency at the contest's arrivals within 1.5 CPUs",

  async run(context) {
    const report: Pick<Report, 'trial' | 'title' | 'columns'> = {
      trial: 'arrivals',
      title: this.title,
      columns: [
        { key: 'what', title: `what gets ${perSecond} arrivals a second` },
        { key: 'split', title: 'CPUs' },
        ...turnColumns,
      ],
    };
    const reason = cannotLimit();
    if (reason !== undefined) return { ...report, rows: [], budgets: [], notes: [reason] };
    const present = contestants.filter(({ missing }) => missing.length === 0);
    const starts = present.map((contestant) => () => startContestant(contestant, context));
    const results = await withAll(starts, (running) => {
      const players = [
        (): Promise<Turn> => {
          context.progress(flushTitle);
          return playFlush(context);
        },
        ...present.map(({ title }, index) => (): Promise<Turn> => {
          context.progress(title);
          return play(arrivalsLoad, running[index]!, context);
        }),
      ];
      return takeTurns(players, roundsOf(context));
    });
    const titles = [flushTitle, ...present.map(({ title }) => title)];
    return {
      ...report,
      rows: results.map((turns, index) => ({
        what: titles[index]!,
        ...(index > 0 ? { split: present[index - 1]!.split } : {}),
        ...cellsOf(turns),
      })),
      budgets: budgetsOf(new Map(results.map((one, index) => [titles[index]!, one]))),
      notes: [
        "The contest's mix, at even intervals; latency counts from the moment a request was due. Every process in a control group of its own.",
        'All are up all the time, and the load goes to one after the other.',
        'espora and PostgreSQL flush before they answer; HAProxy stands before a constant answer, and nothing is stored.',
        'The block alone is written and flushed past the page cache at the same intervals, between the others, without limits.',
        ...absentNotes(contestants),
      ],
    };
  },
};
