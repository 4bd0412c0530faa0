// The whole service within 1.5 CPUs beside the same chain made of HAProxy before a constant answer,
// and beside what the field would build: the rate at saturation, each at its best split of the CPUs.

import { budget } from '../lib/report.js';
import type { Budget, Report } from '../lib/report.js';
import { figureOf, median, ratioOf, takeTurns } from '../lib/statistics.js';
import type { Trial } from '../lib/trial.js';
import { cellsOf, turnColumns } from './arrival-turns.js';
import { kept as everyKept, perConnection as eachOwn } from './load.js';
import {
  absentNotes,
  cannotLimit,
  handoff,
  haproxy,
  minimalHandoff,
  minimalRelays,
  peer,
  playContestant,
  relay,
} from './whole-service.js';
import type { Load, Played, SplitContestant } from './whole-service.js';

const rounds = 5;

const seconds = { measured: 3, warmup: 0.5 };
const kept: Load = { title: '64 connections kept, saturated', args: everyKept, seconds };
const each: Load = { title: 'a connection each, saturated', args: eachOwn, seconds };
const loads = [kept, each];

const [relays, handoffs] = [minimalRelays(false), minimalHandoff(false)];

/** What is compared with each other plays soon after each other, each at one of its splits. */
function contestantsOf(small: boolean): readonly SplitContestant[] {
  const all = [haproxy, relay, handoff, handoffs, relays];
  const most = small ? 1 : Math.max(...all.map(({ splits }) => splits.length));
  const turns = Array.from({ length: most }, (_, index) =>
    all.flatMap(({ splits, at }) => splits.slice(index, index + 1).map(at)),
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
  ...turnColumns,
];

type BestFor = (title: string, load: Load) => Best | undefined;

function rowsOf(best: BestFor): Report['rows'] {
  const all = [relay, handoff, haproxy, relays, handoffs, peer];
  return loads.flatMap((load) =>
    all.flatMap(({ title }) => {
      const found = best(title, load);
      if (found === undefined) return [];
      const { split, played } = found;
      const rate = figureOf(played.map((one) => one.rate));
      return [{ load: load.title, what: title, split, rate, ...cellsOf(played) }];
    }),
  );
}

type Limit = readonly [
  one: { readonly title: string },
  base: { readonly title: string },
  load: Load,
  of: 'rate' | 'cost',
  comparison: Budget['comparison'],
  limit: number,
];
const limits: readonly Limit[] = [
  [relay, haproxy, kept, 'rate', '≥', 0.9],
  [relay, haproxy, each, 'rate', '≥', 0.9],
  [relay, peer, kept, 'rate', '≥', 12],
  [relay, peer, each, 'rate', '≥', 3],
  [handoff, relay, kept, 'rate', '≥', 2],
  [handoff, relay, each, 'rate', '≥', 1.5],
  [handoff, relay, each, 'cost', '≤', 0.5],
  // The same, were `relay` just as good as it must be: against our own it is harder the better that is.
  [handoff, haproxy, kept, 'rate', '≥', 1.8],
  [handoff, haproxy, each, 'rate', '≥', 1.35],
  [handoff, haproxy, each, 'cost', '≤', 0.5],
  // How far from the floor, and what the floor itself makes of the limits above.
  [relay, relays, each, 'cost', '≤', 1.15],
  [handoff, handoffs, each, 'cost', '≤', 1.15],
  [handoffs, relays, each, 'rate', '≥', 1.5],
  [handoffs, relays, each, 'cost', '≤', 0.5],
];

function budgetsOf(best: BestFor): Budget[] {
  return limits.flatMap(([{ title }, base, load, of, comparison, limit]) => {
    const [one, other] = [best(title, load), best(base.title, load)];
    if (one === undefined || other === undefined) return [];
    const figures = (found: Best): number[] => found.played.map((played) => played[of]);
    const what = { rate: 'rate', cost: 'CPU per request' }[of];
    const text = `${title}, ${load.title}: ${what} over that of ${base.title}`;
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
