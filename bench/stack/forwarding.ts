// The data plane's forwarder beside HAProxy, nginx and the minimal relay, each alone on one CPU
// before the same constant answer: what a request and a connection cost, saturated, at the contest's
// arrivals, and with a share of a CPU.

import { join } from 'node:path';
import { freePort } from '#espora/lab/free-port.js';
import { otherThan, pinned } from '../lib/pinning.js';
import { LimitedRig, nativeProgram, start } from '../lib/processes.js';
import type { Running } from '../lib/processes.js';
import { budget } from '../lib/report.js';
import type { Budget, Report } from '../lib/report.js';
import { figureOf, ratioOf, takeTurns } from '../lib/statistics.js';
import type { Context, Trial } from '../lib/trial.js';
import { haproxyForwarder, nginxForwarder, ownForwarder } from './forwarders.js';
import type { Forwarder } from './forwarders.js';
import * as load from './load.js';
import type { Generated } from './load.js';
import { absentNotes } from './whole-service.js';

const rounds = 7;
// Of each load in each round.
const seconds = { measured: 2, warmup: 0.3 };
const smallSeconds = { measured: 0.15, warmup: 0.05 };
const shares = [0.1, 0.2, 0.4];
const smallShares = [0.2];
const shareMegabytes = 50;

/** A way to load a forwarder; with a share of a CPU it is started anew in a control group. */
interface Load {
  readonly title: string;
  readonly args: readonly string[];
  readonly share?: number;
}

const kept: Load = { title: '64 connections kept, saturated', args: load.kept };
const each: Load = { title: 'a connection each, saturated', args: load.perConnection };
const contest: Load = { title: `a connection each, ${load.perSecond}/s`, args: load.arrivals };
const withShare = (share: number): Load => ({
  ...contest,
  title: `${contest.title}, ${share} CPU`,
  share,
});

/** Where things run: the forwarder alone on one CPU, load and upstreams on the other. */
interface Stage {
  readonly context: Context;
  readonly otherCpu: number | undefined;
  readonly upstreamOf: (contestant: Forwarder) => string;
}

/** Starts a forwarder, lets `work` load it, and ends it. */
async function withForwarder<Result>(
  contestant: Forwarder,
  share: number | undefined,
  { context, upstreamOf }: Stage,
  work: (port: number, pid: number) => Promise<Result>,
): Promise<Result> {
  const port = await freePort();
  const { directory, cpu } = context;
  const command = await contestant.prepare({ directory, port, upstream: upstreamOf(contestant) });
  if (share === undefined) {
    const { pid, stop } = await start(command, { port }, context);
    return work(port, pid).finally(stop);
  }
  const rig = new LimitedRig();
  try {
    const limits = { cpus: share, memoryMegabytes: shareMegabytes };
    const [file, args] = pinned(cpu, command.file, command.args);
    const pid = await rig.start('forwarder', limits, { file, args }, { port });
    return await work(port, pid);
  } finally {
    await rig.stop();
  }
}

function play({ args }: Load, port: number, pid: number, stage: Stage): Promise<Generated> {
  const { small, signal } = stage.context;
  const all = [...args, '--watch', String(pid)];
  const how = { cpu: stage.otherCpu, signal };
  return load.generate(port, small ? smallSeconds : seconds, all, how);
}

/** One round of one contestant: each load, those without a share of a CPU on one and the same process. */
async function playRound(
  contestant: Forwarder,
  loads: readonly Load[],
  stage: Stage,
): Promise<readonly Generated[]> {
  stage.context.progress(`forwarding: ${contestant.title}`);
  const results: Generated[] = [];
  await withForwarder(contestant, undefined, stage, async (port, pid) => {
    for (const one of loads.filter(({ share }) => share === undefined)) {
      results.push(await play(one, port, pid, stage));
    }
  });
  for (const one of loads.filter(({ share }) => share !== undefined)) {
    const alone = (port: number, pid: number) => play(one, port, pid, stage);
    results.push(await withForwarder(contestant, one.share, stage, alone));
  }
  return results;
}

const cost = ({ watched_cpu_seconds, answers }: Generated): number =>
  (watched_cpu_seconds * 1e6) / answers;

const columns: Report['columns'] = [
  { key: 'load', title: 'load' },
  { key: 'what', title: 'forwarder' },
  { key: 'rate', title: 'requests/s' },
  { key: 'p50', title: 'p50 ms' },
  { key: 'p99', title: 'p99' },
  { key: 'p999', title: 'p99.9' },
  { key: 'cost', title: 'CPU µs per request' },
  { key: 'ratio', title: "over HAProxy's", suffix: ' ×' },
  { key: 'busy', title: 'its CPU', suffix: ' %' },
  { key: 'generator', title: "load's CPU µs per request" },
];

/** A contestant's rounds under one load, and HAProxy's where it played. */
function rowOf(
  under: Load,
  what: string,
  played: readonly Generated[],
  base: readonly Generated[] | undefined,
  measuredSeconds: number,
): Report['rows'][number] {
  const figure = (of: (one: Generated) => number) => figureOf(played.map(of));
  return {
    load: under.title,
    what,
    rate: figure((one) => one.requests_per_second),
    p50: figure((one) => one.p50_ms),
    p99: figure((one) => one.p99_ms),
    p999: figure((one) => one.p999_ms),
    cost: figure(cost),
    ...(base === undefined ? {} : { ratio: ratioOf(played.map(cost), base.map(cost)) }),
    busy: figure((one) => (one.watched_cpu_seconds / measuredSeconds) * 100),
    generator: figure((one) => one.own_cpu_us_per_request),
  };
}

const relayTitle = 'espora, relay';
const handoffTitle = 'espora, handoff';
const haproxyTitle = 'HAProxy, mode tcp';

// CPU per request over HAProxy's.
const limits: readonly (readonly [contestant: string, load: Load, limit: number])[] = [
  [relayTitle, kept, 1],
  [relayTitle, each, 1],
  [relayTitle, contest, 1],
  [handoffTitle, each, 0.4],
  [handoffTitle, contest, 0.4],
];

/** The upstreams that all share, on the generator's CPU. */
async function startUpstreams(
  stage: Omit<Stage, 'upstreamOf'>,
): Promise<{ readonly relayed: string; readonly handed: string; readonly running: Running[] }> {
  const relayed = join(stage.context.directory, 'constant.sock');
  const handed = join(stage.context.directory, 'receiving.sock');
  const on = { cpu: stage.otherCpu, signal: stage.context.signal };
  const begin = (name: string, path: string): Promise<Running> =>
    start({ file: nativeProgram(name), args: ['--unix', path] }, { path }, on);
  const running = [await begin('minimal_handoff', relayed)];
  running.push(await begin('constant_http_server', handed));
  return { relayed, handed, running };
}

export const forwarding: Trial = {
  name: 'forwarding',
  group: 'load',
  title:
    'a layer-4 hop before a constant answer: what it costs beside HAProxy, nginx and the floor',

  async run(context) {
    const report = { trial: this.name, title: this.title, columns };
    const contestants = [
      ownForwarder(relayTitle, 'forwarder', 'relay'),
      ownForwarder(handoffTitle, 'forwarder', 'handoff'),
      haproxyForwarder(haproxyTitle),
      nginxForwarder,
      ownForwarder('the minimal relay', 'minimal_relay'),
    ];
    const present = contestants.filter(({ missing }) => missing.length === 0);
    const root = process.getuid!() === 0;
    const shared = context.small ? smallShares : shares;
    const loads = [kept, each, contest, ...(root ? shared.map(withShare) : [])];
    const half = { context, otherCpu: otherThan(context.cpu) };
    const { relayed, handed, running } = await startUpstreams(half);
    const stage = {
      ...half,
      upstreamOf: ({ handsOff }: Forwarder) => (handsOff ? handed : relayed),
    };
    const results = await takeTurns(
      present.map((contestant) => () => playRound(contestant, loads, stage)),
      context.small ? 1 : rounds,
    ).finally(() => Promise.all(running.map(({ stop }) => stop())));

    const playedBy = (title: string, under: Load): readonly Generated[] | undefined => {
      const index = present.findIndex((contestant) => contestant.title === title);
      return results[index]?.map((round) => round[loads.indexOf(under)]!);
    };
    const { measured } = context.small ? smallSeconds : seconds;
    return {
      ...report,
      rows: loads.flatMap((one) =>
        present.map(({ title }) =>
          rowOf(one, title, playedBy(title, one)!, playedBy(haproxyTitle, one), measured),
        ),
      ),
      budgets: limits.flatMap(([title, one, limit]): Budget[] => {
        const base = playedBy(haproxyTitle, one);
        if (base === undefined) return [];
        const ratio = ratioOf(playedBy(title, one)!.map(cost), base.map(cost));
        return [budget(`${title}, ${one.title}: CPU over HAProxy's`, ratio, '≤', limit)];
      }),
      notes: [
        'The forwarder alone on one CPU, on one thread; load generator and upstream together on another.',
        'Each takes TCP connections and forwards to a unix socket. What is handed off goes to a server that can receive, and then costs the hop nothing per request.',
        'Latency at a rate counts from the intended start. CPU is what the kernel accounts to the process while the generator measures.',
        ...(root ? [] : ['Left out: shares of a CPU; control groups need root.']),
        ...absentNotes(contestants),
      ],
    };
  },
};
