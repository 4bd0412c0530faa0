// Latency at the contest's arrivals within 1.5 CPUs: the whole service beside the same chain made of
// HAProxy, which stores nothing, beside the least that could be called the same, which is the floor of
// kernel and disk, and beside what the disk alone takes for the flush in each answer.

import { join } from 'node:path';
import type { Budget, Report } from '../lib/report.js';
import { figureOf, takeTurns } from '../lib/statistics.js';
import type { Context, Trial } from '../lib/trial.js';
import { besideChain, besideOther, chainLimits, floorLimit } from './beside-chain.js';
import { flushAtPace, flushTitle, perSecond } from './flush-at-pace.js';
import type { Latency } from './flush-at-pace.js';
import { barestTitle, haproxyChainTitle } from './limited-subjects.js';
import type { Running } from './limited-subjects.js';
import {
  absentNotes,
  barestAt,
  connections,
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
import type { Entry, Load, Played } from './whole-service.js';

const rounds = 15;
const load: Load = {
  title: `a connection each, ${perSecond}/s`,
  args: [...connections, '--per-connection', '--rate', String(perSecond)],
  seconds: { measured: 3, warmup: 0.2 },
};
const flushSeconds = 3;
const smallFlushSeconds = 0.1;

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

/** What one of them did in a round. */
type Turn = Latency & Partial<Played>;

let files = 0;

/** Without limits. */
function playFlush({ small, directory, progress, signal }: Context): Promise<Turn> {
  progress(flushTitle);
  const seconds = small ? smallFlushSeconds : flushSeconds;
  return flushAtPace(join(directory, `flushed-${++files}`), seconds, signal);
}

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
      ...(floor
        ? besideOther(`${subject}: {} over that of ${floorTitle}`, floorLimit, ours, floor)
        : []),
      ...(chain && floor
        ? besideOther(`${floorTitle}: {} over that of HAProxy's chain`, limit, floor, chain)
        : []),
    ];
  });
}

/** Starts all, as long as `use` takes: idle they need nothing, and who is compared plays in the same minute. */
async function withAll<Result>(
  present: readonly Entry[],
  context: Context,
  use: (running: readonly Running[]) => Promise<Result>,
): Promise<Result> {
  const running: Running[] = [];
  try {
    for (const entry of present) running.push(await startEntry(entry, context));
    return await use(running);
  } finally {
    for (const one of running.reverse()) await one.stop();
  }
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
        { key: 'p50', title: 'p50 ms' },
        { key: 'p99', title: 'p99' },
        { key: 'cost', title: 'CPU µs per request, all services' },
        { key: 'flushes', title: 'flushes per request' },
        { key: 'generator', title: "load's CPU", suffix: ' %' },
      ],
    };
    const found = await findGenerator();
    if ('missing' in found) return { ...report, rows: [], budgets: [], notes: [found.missing] };
    const present = entries.filter(({ contestant }) => contestant.missing.length === 0);
    const results = await withAll(present, context, (running) => {
      const players = [
        () => playFlush(context),
        ...present.map(({ subject }, index) => (): Promise<Turn> => {
          context.progress(subject);
          return play(load, running[index]!, found.generator, context);
        }),
      ];
      return takeTurns(players, context.small ? 1 : rounds);
    });
    const subjects = [flushTitle, ...present.map(({ subject }) => subject)];
    const figure = (of: readonly (number | undefined)[]): object | undefined =>
      of.every((one) => one !== undefined) ? figureOf(of) : undefined;
    return {
      ...report,
      rows: results.map((latencies, index) => {
        const cells = {
          what: subjects[index]!,
          split: present[index - 1]?.split,
          p50: figure(latencies.map(({ p50 }) => p50)),
          p99: figure(latencies.map(({ p99 }) => p99)),
          cost: figure(latencies.map(({ cost }) => cost)),
          flushes: figure(latencies.map(({ flushes }) => flushes)),
          generator: figure(latencies.map(({ generatorPercent }) => generatorPercent)),
        };
        return Object.fromEntries(
          Object.entries(cells).filter(([, cell]) => cell !== undefined),
        ) as Report['rows'][number];
      }),
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
