// The quick contest's load against the service, and beside it against a server that answers at once
// and stores nothing: what remains there is the player, the kernel and the machine, and no service
// can be better.

import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { playPhases } from '#espora/contest/contest.js';
import { quick } from '#espora/contest/plan.js';
import type { PlanOptions } from '#espora/contest/plan.js';
import type { ContestResult } from '#espora/contest/result.js';
import type { Target } from '#espora/lab/connection.js';
import { freePort } from '#espora/lab/free-port.js';
import type { Listening } from '#espora/lab/listening.js';
import { otherThan } from '../lib/pinning.js';
import { nativeProgram, runForJson, start, startEspora } from '../lib/processes.js';
import type { Report } from '../lib/report.js';
import { figureOf, takeTurns } from '../lib/statistics.js';
import type { Context, Trial } from '../lib/trial.js';
import { constantAccounts, loadAlone, smallLoad } from './load-alone.js';

const script = fileURLToPath(import.meta.url);
const rounds = 3;

/** Something to play against, until it is stopped. */
interface Running {
  readonly target: Target;
  readonly stop: () => Promise<void>;
}

const targetOf = (listening: Listening): Target =>
  'port' in listening ? { host: '127.0.0.1', ...listening } : listening;

async function startConstant(listening: Listening, context: Context): Promise<Running> {
  const args =
    'port' in listening ? ['--port', String(listening.port)] : ['--unix', listening.path];
  const command = { file: nativeProgram('minimal_handoff'), args };
  return { target: targetOf(listening), ...(await start(command, listening, context)) };
}

/** All services of a topology, on a fresh store. */
async function startFresh(topology: string, context: Context): Promise<Running> {
  const data = await mkdtemp(join(context.directory, `${topology}-`));
  const { port, stop } = await startEspora(['--topology', topology, '--data', data], context);
  return { target: targetOf({ port }), stop };
}

/** Plays in a process of its own, on another CPU than the server. */
async function play(
  target: Target,
  load: PlanOptions,
  accounts: PlanOptions['accounts'],
  context: Context,
): Promise<ContestResult> {
  const args = [script, JSON.stringify(target), JSON.stringify({ ...load, accounts })];
  const result = await runForJson<ContestResult>(
    { file: process.execPath, args },
    { cpu: otherThan(context.cpu), signal: context.signal },
  );
  if (result.failures > 0) throw new Error(JSON.stringify(result.failureGroups[0]));
  return result;
}

/** A row of the table out of the rounds of one server. */
function rowOf(server: string, results: readonly ContestResult[]): Report['rows'][number] {
  const figure = (of: (result: ContestResult) => number) => figureOf(results.map(of));
  return {
    server,
    requests: results[0]!.requests,
    p50: figure(({ all }) => all.latencyMs.p50),
    p75: figure(({ all }) => all.latencyMs.p75),
    p95: figure(({ all }) => all.latencyMs.p95),
    p99: figure(({ all }) => all.latencyMs.p99),
    max: figure(({ all }) => all.latencyMs.max),
    late50: figure(({ player }) => player.latenessMs.p50),
    late99: figure(({ player }) => player.latenessMs.p99),
    cpu: figure(({ player }) => player.cpuPercent),
  };
}

export const contestLoad: Trial = {
  name: 'contest-load',
  group: 'stack',
  title: "the contest's load on the service, beside a server that answers a constant",

  async run(context) {
    const load = context.small ? smallLoad : quick;
    const socket = join(context.directory, 'socket');
    const contestants = [
      {
        title: 'espora, topology relay, flush before each answer',
        accounts: undefined,
        start: () => startFresh('relay', context),
      },
      {
        title: 'espora, topology single, flush before each answer',
        accounts: undefined,
        start: () => startFresh('single', context),
      },
      {
        title: 'constant answer over TCP, nothing stored',
        accounts: constantAccounts,
        start: async () => startConstant({ port: await freePort() }, context),
      },
      {
        title: 'constant answer over a unix socket, nothing stored',
        accounts: constantAccounts,
        start: () => startConstant({ path: socket }, context),
      },
    ];
    const players = contestants.map(({ title, accounts, start: begin }) => async () => {
      context.progress(`contest-load: ${title}`);
      const { target, stop } = await begin();
      try {
        return await play(target, load, accounts, context);
      } finally {
        await stop();
      }
    });
    const results = await takeTurns(players, context.small ? 1 : rounds);
    return {
      trial: 'contest-load',
      title: this.title,
      columns: [
        { key: 'server', title: 'server' },
        { key: 'requests', title: 'requests' },
        { key: 'p50', title: 'p50 ms' },
        { key: 'p75', title: 'p75' },
        { key: 'p95', title: 'p95' },
        { key: 'p99', title: 'p99' },
        { key: 'max', title: 'max' },
        { key: 'late50', title: 'late p50 ms' },
        { key: 'late99', title: 'late p99' },
        { key: 'cpu', title: "player's CPU", suffix: ' %' },
      ],
      rows: results.map((ofServer, index) => rowOf(contestants[index]!.title, ofServer)),
      budgets: [],
      notes: [
        'Latency from the intended start; "late" is how much of it passed before the player began.',
        'A connection per request, up to 340 a second; the player on one CPU, all that it plays against on another.',
      ],
    };
  },
};

if (process.argv[1] === script) {
  const [target, load] = process.argv.slice(2).map((json) => JSON.parse(json) as unknown);
  const { accounts, ...options } = load as PlanOptions;
  const result = await playPhases({
    plan: loadAlone(options, accounts),
    target: target as Target,
    authority: 'localhost:9999',
    seed: 1,
  });
  process.stdout.write(JSON.stringify({ ...result, timeline: [] }));
}
