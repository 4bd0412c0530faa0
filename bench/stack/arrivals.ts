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
import { flushTitle, perSecond } from './flush-at-pace.js';
import { barestTitle, haproxyChainTitle } from './limited-subjects.js';
import {
  absentNotes,
  barestAt,
  entryAt,
  findGenerator,
  handed,
  handoffAt,
  handoffTitle,
  haproxyAt,
  peer,
  play,
  proxyAt,
  proxyTitle,
  relayed,
  startEntry,
} from './whole-service.js';
import type { Entry } from './whole-service.js';

const barestRelays = { topology: 'proxy', stores: true } as const;
const barestHandoff = { topology: 'handoff', stores: true } as const;

const entries: readonly Entry[] = [
  entryAt(proxyTitle, relayed[0]!, proxyAt),
  entryAt(handoffTitle, handed[0]!, handoffAt),
  entryAt(haproxyChainTitle, relayed[0]!, haproxyAt),
  entryAt(barestTitle(barestRelays), relayed[0]!, barestAt(barestRelays)),
  entryAt(barestTitle(barestHandoff), handed[0]!, barestAt(barestHandoff)),
  peer,
];

/** Ours, and the least that could be called the same. */
const pairs = [
  [proxyTitle, chainLimits.proxy, barestTitle(barestRelays)],
  [handoffTitle, chainLimits.handoff, barestTitle(barestHandoff)],
] as const;

function budgetsOf(played: ReadonlyMap<string, readonly Turn[]>): Budget[] {
  const [chain, flush] = [played.get(haproxyChainTitle), played.get(flushTitle)];
  return pairs.flatMap(([subject, limit, floorTitle]) => {
    const [ours, floor] = [played.get(subject)!, played.get(floorTitle)];
    return [
      ...(chain && flush ? besideChain(subject, limit, ours, chain, flush) : []),
      ...(floor ? besideFloor([subject, ours], [floorTitle, floor], limit, chain) : []),
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
    const found = await findGenerator();
    if ('missing' in found) return { ...report, rows: [], budgets: [], notes: [found.missing] };
    const present = entries.filter(({ contestant }) => contestant.missing.length === 0);
    const starts = present.map((entry) => () => startEntry(entry, context));
    const results = await withAll(starts, (running) => {
      const players = [
        (): Promise<Turn> => {
          context.progress(flushTitle);
          return playFlush(context);
        },
        ...present.map(({ subject }, index) => (): Promise<Turn> => {
          context.progress(subject);
          return play(arrivalsLoad, running[index]!, found.generator, context);
        }),
      ];
      return takeTurns(players, roundsOf(context));
    });
    const subjects = [flushTitle, ...present.map(({ subject }) => subject)];
    return {
      ...report,
      rows: results.map((turns, index) => ({
        what: subjects[index]!,
        ...(index > 0 ? { split: present[index - 1]!.split } : {}),
        ...cellsOf(turns),
      })),
      budgets: budgetsOf(new Map(results.map((one, index) => [subjects[index]!, one]))),
      notes: [
        "The contest's mix, at even intervals; latency counts from the moment a request was due. Every process in a control group of its own.",
        'All are up all the time, and the load goes to one after the other.',
        'espora and PostgreSQL flush before they answer; HAProxy stands before a constant answer, and nothing is stored.',
        'The block alone is written and flushed past the page cache at the same intervals, between the others, without limits.',
        ...absentNotes(entries.filter((entry) => !present.includes(entry))),
      ],
    };
  },
};
