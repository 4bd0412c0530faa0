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
import { otherThan } from '../lib/pinning.js';
import { nativeProgram, runForJson, start, startEspora } from '../lib/processes.js';
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

const constantServer = async (path: string | undefined, context: Context): Promise<Running> => {
  const port = await freePort();
  const args = path === undefined ? ['--port', String(port)] : ['--unix', path];
  const command = { file: nativeProgram('minimal_handoff'), args };
  const { stop } = await start(command, path === undefined ? { port } : { path }, context);
  return { target: path === undefined ? { host: '127.0.0.1', port } : { path }, stop };
};

/** All services of a topology, on a fresh store. */
async function startFresh(topology: string, context: Context): Promise<Running> {
  const data = await mkdtemp(join(context.directory, `${topology}-`));
  const { port, stop } = await startEspora(['--topology', topology, '--data', data], context);
  return { target: { host: '127.0.0.1', port }, stop };
}

interface Contestant {
  readonly title: string;
  readonly accounts?: PlanOptions['accounts'];
  readonly start: (context: Context) => Promise<Running>;
}
const ours = (topology: string): Contestant => ({
  title: `espora, topology ${topology}, flush before each answer`,
  start: (context) => startFresh(topology, context),
});
const constant = (over: string, socket?: string): Contestant => ({
  title: `constant answer over ${over}, nothing stored`,
  accounts: constantAccounts,
  start: (context) =>
    constantServer(socket === undefined ? undefined : join(context.directory, socket), context),
});
const contestants = [
  ours('relay'),
  ours('single'),
  constant('TCP'),
  constant('a unix socket', 'socket'),
];

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

/** The figures of the table, in its order. */
const figures: readonly (readonly [string, (result: ContestResult) => number, string?])[] = [
  ['p50 ms', ({ all }) => all.latencyMs.p50],
  ['p75', ({ all }) => all.latencyMs.p75],
  ['p95', ({ all }) => all.latencyMs.p95],
  ['p99', ({ all }) => all.latencyMs.p99],
  ['max', ({ all }) => all.latencyMs.max],
  ['late p50 ms', ({ player }) => player.latenessMs.p50],
  ['late p99', ({ player }) => player.latenessMs.p99],
  ["player's CPU", ({ player }) => player.cpuPercent, ' %'],
];

export const contestLoad: Trial = {
  name: 'contest-load',
  group: 'stack',
  title: "the contest's load on the service, beside a server that answers a constant",

  async run(context) {
    const load = context.small ? smallLoad : quick;
    const players = contestants.map(({ title, accounts, start: begin }) => async () => {
      context.progress(`contest-load: ${title}`);
      const { target, stop } = await begin(context);
      return play(target, load, accounts, context).finally(stop);
    });
    const results = await takeTurns(players, context.small ? 1 : rounds);
    return {
      trial: 'contest-load',
      title: this.title,
      columns: [
        { key: 'server', title: 'server' },
        { key: 'requests', title: 'requests' },
        ...figures.map(([title, , suffix]) => ({
          key: title,
          title,
          ...(suffix === undefined ? {} : { suffix }),
        })),
      ],
      rows: results.map((played, index) => ({
        server: contestants[index]!.title,
        requests: played[0]!.requests,
        ...Object.fromEntries(figures.map(([title, of]) => [title, figureOf(played.map(of))])),
      })),
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
