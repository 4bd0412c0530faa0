// The whole service within 1.5 CPUs beside the same chain made of HAProxy before a constant answer,
// and beside what the field would build: the rate at saturation, each at its best split of the CPUs.

import { budget } from '../lib/report.js';
import type { Budget, Report } from '../lib/report.js';
import { figureOf, median, ratioOf, takeTurns } from '../lib/statistics.js';
import type { Trial } from '../lib/trial.js';
import { kept as everyKept, perConnection as eachOwn } from './load.js';
import { haproxyChainTitle, minimalTitle } from './shape.js';
import {
  absentNotes,
  minimalAt,
  atSplit,
  cannotLimit,
  handed,
  handoffAt,
  handoffTitle,
  haproxyAt,
  peer,
  peerTitle,
  playContestant,
  relayAt,
  relayTitle,
  relayed,
} from './whole-service.js';
import type { Load, Played, SplitContestant } from './whole-service.js';

const rounds = 5;

const kept: Load = {
  title: '64 connections kept, saturated',
  args: everyKept,
  seconds: { measured: 3, warmup: 0.5 },
};
const perConnection: Load = {
  title: 'a connection each, saturated',
  args: eachOwn,
  seconds: { measured: 3, warmup: 0.5 },
};

const loads = [kept, perConnection];

const minimalRelays = { topology: 'relay', stores: false } as const;
const minimalHandoff = { topology: 'handoff', stores: false } as const;

/** What is compared with each other plays soon after each other, each at one of its splits. */
function contestantsOf(small: boolean): readonly SplitContestant[] {
  const all = [
    [haproxyChainTitle, relayed, haproxyAt],
    [relayTitle, relayed, relayAt],
    [handoffTitle, handed, handoffAt],
    [minimalTitle(minimalHandoff), handed, minimalAt(minimalHandoff)],
    [minimalTitle(minimalRelays), relayed, minimalAt(minimalRelays)],
  ] as const;
  const most = small ? 1 : Math.max(...all.map(([, splits]) => splits.length));
  const turns = Array.from({ length: most }, (_, index) =>
    all.flatMap(([title, splits, make]) => {
      const split = splits[index];
      return split === undefined ? [] : [atSplit(title, split, make)];
    }),
  );
  return [...turns.flat(), peer];
}

/** All rounds of one contestant under one load, at the split with the best rate. */
interface Best {
  readonly split: string;
  readonly played: readonly Played[];
}

function bestOf(
  wanted: string,
  load: Load,
  contestants: readonly SplitContestant[],
  results: readonly (readonly (readonly Played[])[])[],
): Best | undefined {
  const all = contestants.flatMap(({ title, split }, index): Best[] => {
    const played = results[index]?.map((round) => round[loads.indexOf(load)]!);
    return title !== wanted || played === undefined ? [] : [{ split, played }];
  });
  const rateOf = ({ played }: Best): number => median(played.map(({ rate }) => rate));
  return all.sort((one, other) => rateOf(other) - rateOf(one))[0];
}

const columns: Report['columns'] = [
  { key: 'load', title: 'load' },
  { key: 'what', title: 'service' },
  { key: 'split', title: 'CPUs' },
  { key: 'rate', title: 'requests/s' },
  { key: 'p50', title: 'p50 ms' },
  { key: 'p99', title: 'p99' },
  { key: 'cost', title: 'CPU µs per request, all services' },
  { key: 'flushes', title: 'flushes per request' },
  { key: 'generator', title: "load's CPU", suffix: ' %' },
];

type BestFor = (title: string, load: Load) => Best | undefined;

function rowsOf(best: BestFor): Report['rows'] {
  const floors = [minimalRelays, minimalHandoff].map(minimalTitle);
  const titles = [relayTitle, handoffTitle, haproxyChainTitle, ...floors, peerTitle];
  return loads.flatMap((load) =>
    titles.flatMap((title) => {
      const found = best(title, load);
      if (found === undefined) return [];
      const figure = (of: (played: Played) => number) => figureOf(found.played.map(of));
      const stores = found.played.every(({ flushes }) => flushes !== undefined);
      return [
        {
          load: load.title,
          what: title,
          split: found.split,
          rate: figure(({ rate }) => rate),
          p50: figure(({ p50 }) => p50),
          p99: figure(({ p99 }) => p99),
          cost: figure(({ cost }) => cost),
          ...(stores ? { flushes: figure(({ flushes }) => flushes!) } : {}),
          generator: figure(({ generatorPercent }) => generatorPercent),
        },
      ];
    }),
  );
}

type Limit = readonly [
  title: string,
  base: string,
  load: Load,
  of: 'rate' | 'cost',
  comparison: Budget['comparison'],
  limit: number,
];
const limits: readonly Limit[] = [
  [relayTitle, haproxyChainTitle, kept, 'rate', '≥', 0.9],
  [relayTitle, haproxyChainTitle, perConnection, 'rate', '≥', 0.9],
  [relayTitle, peerTitle, kept, 'rate', '≥', 12],
  [relayTitle, peerTitle, perConnection, 'rate', '≥', 3],
  [handoffTitle, relayTitle, kept, 'rate', '≥', 2],
  [handoffTitle, relayTitle, perConnection, 'rate', '≥', 1.5],
  [handoffTitle, relayTitle, perConnection, 'cost', '≤', 0.5],
  // The same, were `relay` just as good as it has to be: against our own it is harder the better that is.
  [handoffTitle, haproxyChainTitle, kept, 'rate', '≥', 1.8],
  [handoffTitle, haproxyChainTitle, perConnection, 'rate', '≥', 1.35],
  [handoffTitle, haproxyChainTitle, perConnection, 'cost', '≤', 0.5],
  // How far from the floor, and what the floor itself makes of the limits above.
  [relayTitle, minimalTitle(minimalRelays), perConnection, 'cost', '≤', 1.15],
  [handoffTitle, minimalTitle(minimalHandoff), perConnection, 'cost', '≤', 1.15],
  [minimalTitle(minimalHandoff), minimalTitle(minimalRelays), perConnection, 'rate', '≥', 1.5],
  [minimalTitle(minimalHandoff), minimalTitle(minimalRelays), perConnection, 'cost', '≤', 0.5],
];

function budgetsOf(best: BestFor): Budget[] {
  return limits.flatMap(([title, base, load, of, comparison, limit]) => {
    const [one, other] = [best(title, load), best(base, load)];
    if (one === undefined || other === undefined) return [];
    const figures = (found: Best): number[] => found.played.map((played) => played[of]);
    const what = { rate: 'rate', cost: 'CPU per request' }[of];
    const text = `${title}, ${load.title}: ${what} over that of ${base}`;
    return [budget(text, ratioOf(figures(one), figures(other)), comparison, limit)];
  });
}

export const chain: Trial = {
  name: 'chain',
  group: 'chain',
  title: 'the whole service within 1.5 CPUs, beside the same chain made of HAProxy',

  async run(context) {
    const report = { trial: 'chain', title: this.title, columns };
    const reason = cannotLimit();
    if (reason !== undefined) return { ...report, rows: [], budgets: [], notes: [reason] };
    const all = contestantsOf(context.small);
    const present = all.filter(({ missing }) => missing.length === 0);
    const results = await takeTurns(
      present.map((contestant) => () => playContestant(contestant, loads, context)),
      context.small ? 1 : rounds,
    );
    const best: BestFor = (title, load) => bestOf(title, load, present, results);
    return {
      ...report,
      rows: rowsOf(best),
      budgets: budgetsOf(best),
      notes: [
        'Every process in a control group of its own; espora and PostgreSQL flush before they answer.',
        "The contest's mix: 220 debits, 110 credits, 10 statements. Each at the best of its splits.",
        'CPU is what the control groups account. The load generator is in none of them, and shares the two CPUs with them.',
        ...absentNotes(all),
      ],
    };
  },
};
