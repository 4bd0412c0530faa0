// The whole service within 1.5 CPUs beside the same chain made of HAProxy before a constant answer,
// and beside what the field would build: the rate at saturation, each at its best split of the CPUs,
// and latency at the contest's arrivals.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildPrograms, runForJson } from '../lib/programs.js';
import { budget } from '../lib/report.js';
import type { Budget, Report } from '../lib/report.js';
import { figureOf, median, ratioOf, takeTurns } from '../lib/statistics.js';
import type { Context, Trial } from '../lib/trial.js';
import {
  espora,
  haproxyChain,
  haproxyChainTitle,
  limitsFor,
  nodePeer,
} from './limited-subjects.js';
import type { Contestant, Running, Split } from './limited-subjects.js';

const rounds = 3;
const arrivalsPerSecond = 340;

interface Seconds {
  readonly measured: number;
  readonly warmup: number;
}
interface Load {
  readonly title: string;
  readonly args: readonly string[];
  readonly seconds: Seconds;
}

const connections = ['--connections', '64'];
const kept: Load = {
  title: '64 connections kept, saturated',
  args: connections,
  seconds: { measured: 3, warmup: 0.5 },
};
const perConnection: Load = {
  title: 'a connection each, saturated',
  args: [...connections, '--per-connection'],
  seconds: { measured: 3, warmup: 0.5 },
};
const contest: Load = {
  title: `a connection each, ${arrivalsPerSecond}/s`,
  args: [...connections, '--per-connection', '--rate', String(arrivalsPerSecond)],
  seconds: { measured: 8, warmup: 0.5 },
};
const smallSeconds: Seconds = { measured: 0.2, warmup: 0.05 };

/** One load on one contestant. */
interface Played {
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

/** A contestant at one split of the CPUs, and which of the loads it plays. */
interface Entry {
  readonly subject: string;
  readonly split: string;
  readonly contestant: Contestant;
  readonly loads: readonly Load[];
}

async function play(
  load: Load,
  running: Running,
  generator: string,
  { small, signal }: Context,
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

async function playEntry(
  { subject, split, contestant, loads }: Entry,
  generator: string,
  context: Context,
): Promise<readonly Played[]> {
  context.progress(`chain: ${subject}, ${split}`);
  const directory = join(context.directory, `chain-${++turns}`);
  await mkdir(directory);
  const running = await contestant.start(directory);
  try {
    const results: Played[] = [];
    for (const load of loads) results.push(await play(load, running, generator, context));
    return results;
  } finally {
    await running.stop();
  }
}

const proxyTitle = 'espora, proxy';
const handoffTitle = 'espora, handoff';
const peerTitle = 'nginx, 2 × fastify and pg, PostgreSQL';

// The first of each is what the topology has by now.
const relayed: readonly Split[] = [
  [0.55, 0.2, 0.55],
  [0.4, 0.2, 0.7],
  [0.3, 0.2, 0.8],
  [0.5, 0.25, 0.5],
];
const handed: readonly Split[] = [
  [0.95, 0.1, 0.35],
  [1.1, 0.1, 0.2],
  [0.8, 0.15, 0.4],
];
const describe = ([database, api, balancer]: Split): string =>
  `database ${database}, api 2 × ${api}, balancer ${balancer}`;

function entriesOf(small: boolean): readonly Entry[] {
  const entries = (
    subject: string,
    splits: readonly Split[],
    make: (split: Split) => Contestant,
  ): Entry[] =>
    (small ? splits.slice(0, 1) : splits).map((split, index) => ({
      subject,
      split: describe(split),
      contestant: make(split),
      loads: index === 0 ? [kept, perConnection, contest] : [kept, perConnection],
    }));
  return [
    ...entries(proxyTitle, relayed, (split) => espora('proxy', limitsFor(split))),
    ...entries(haproxyChainTitle, relayed, (split) => haproxyChain(limitsFor(split))),
    ...entries(handoffTitle, handed, (split) => espora('handoff', limitsFor(split))),
    {
      subject: peerTitle,
      split: 'database 0.6, api 2 × 0.35, nginx 0.2',
      contestant: nodePeer,
      loads: [kept, perConnection, contest],
    },
  ];
}

/** All rounds of one subject under one load, at the split with the best rate. */
interface Best {
  readonly split: string;
  readonly played: readonly Played[];
}

function bestOf(
  subject: string,
  load: Load,
  entries: readonly Entry[],
  results: readonly (readonly (readonly Played[])[])[],
): Best | undefined {
  const all = entries.flatMap((entry, index): Best[] => {
    const position = entry.loads.indexOf(load);
    const played = results[index]?.map((round) => round[position]!);
    return entry.subject !== subject || position < 0 || played === undefined
      ? []
      : [{ split: entry.split, played }];
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

type BestFor = (subject: string, load: Load) => Best | undefined;

function rowsOf(best: BestFor): Report['rows'] {
  const subjects = [proxyTitle, handoffTitle, haproxyChainTitle, peerTitle];
  return [kept, perConnection, contest].flatMap((load) =>
    subjects.flatMap((subject) => {
      const found = best(subject, load);
      if (found === undefined) return [];
      const figure = (of: (played: Played) => number) => figureOf(found.played.map(of));
      const stores = found.played.every(({ flushes }) => flushes !== undefined);
      return [
        {
          load: load.title,
          what: subject,
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
  subject: string,
  base: string,
  load: Load,
  of: 'rate' | 'p50' | 'p99' | 'cost',
  comparison: Budget['comparison'],
  limit: number,
];
const limits: readonly Limit[] = [
  [proxyTitle, haproxyChainTitle, kept, 'rate', '≥', 0.9],
  [proxyTitle, haproxyChainTitle, perConnection, 'rate', '≥', 0.9],
  [proxyTitle, peerTitle, kept, 'rate', '≥', 12],
  [proxyTitle, peerTitle, perConnection, 'rate', '≥', 3],
  [handoffTitle, proxyTitle, kept, 'rate', '≥', 2],
  [handoffTitle, proxyTitle, perConnection, 'rate', '≥', 1.5],
  [handoffTitle, proxyTitle, perConnection, 'cost', '≤', 0.5],
  [proxyTitle, haproxyChainTitle, contest, 'p50', '≤', 1.6],
  [proxyTitle, haproxyChainTitle, contest, 'p99', '≤', 1.6],
  [handoffTitle, haproxyChainTitle, contest, 'p50', '≤', 1.3],
  [handoffTitle, haproxyChainTitle, contest, 'p99', '≤', 1.3],
];

function budgetsOf(best: BestFor): Budget[] {
  return limits.flatMap(([subject, base, load, of, comparison, limit]) => {
    const [one, other] = [best(subject, load), best(base, load)];
    if (one === undefined || other === undefined) return [];
    const figures = (found: Best): number[] => found.played.map((played) => played[of]);
    const what = { rate: 'rate', p50: 'p50', p99: 'p99', cost: 'CPU per request' }[of];
    const text = `${subject}, ${load.title}: ${what} over that of ${base}`;
    return [budget(text, ratioOf(figures(one), figures(other)), comparison, limit)];
  });
}

export const chain: Trial = {
  name: 'chain',
  group: 'limits',
  title: 'the whole service within 1.5 CPUs, beside the same chain made of HAProxy',

  async run(context) {
    const report = { trial: 'chain', title: this.title, columns };
    const programs = await buildPrograms();
    const root = process.getuid!() === 0;
    if (programs === undefined || !root) {
      const why = root ? 'it needs cmake' : 'control groups with limits need root';
      return { ...report, rows: [], budgets: [], notes: [`Left out: ${why}.`] };
    }
    const all = entriesOf(context.small);
    const entries = all.filter(({ contestant }) => contestant.missing.length === 0);
    const absent = all.filter((entry) => !entries.includes(entry));
    const results = await takeTurns(
      entries.map((entry) => () => playEntry(entry, programs('load_generator'), context)),
      context.small ? 1 : rounds,
    );
    const best: BestFor = (subject, load) => bestOf(subject, load, entries, results);
    return {
      ...report,
      rows: rowsOf(best),
      budgets: budgetsOf(best),
      notes: [
        'Every process in a control group of its own; espora and PostgreSQL flush before they answer.',
        "The contest's mix: 220 debits, 110 credits, 10 statements. At saturation each at the best of its splits; at the contest's arrivals at the first.",
        'CPU is what the control groups account. The load generator is in none of them, and shares the two CPUs with them.',
        ...[
          ...new Set(
            absent.map(
              ({ subject, contestant }) => `${subject}; missing: ${contestant.missing.join(', ')}`,
            ),
          ),
        ].map((text) => `Left out: ${text}.`),
      ],
    };
  },
};
