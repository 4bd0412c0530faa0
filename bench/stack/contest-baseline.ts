// The contest player's own share: the quick contest's load against a server that answers at once and
// stores nothing. What remains is the player, the kernel and the machine: no service can be better.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { playPhases } from '#espora/contest/contest.js';
import type { Target } from '#espora/contest/connection.js';
import { contestPlan, quick } from '#espora/contest/plan.js';
import type { Plan, PlanOptions } from '#espora/contest/plan.js';
import type { ContestResult } from '#espora/contest/result.js';
import { pinned } from '../lib/pinning.js';
import { at } from '../lib/project.js';
import type { Report } from '../lib/report.js';
import { figureOf, takeTurns } from '../lib/statistics.js';
import type { Context, Trial } from '../lib/trial.js';

const script = fileURLToPath(import.meta.url);
const rounds = 3;
const smallLoad: PlanOptions = { rampSeconds: 1, plateauSeconds: 1 };
// What the constant server says the limit is.
const constantLimit = 100_000;

/** The load alone; the constant server has one limit for all and knows no history. */
function loadOf(options: PlanOptions): Plan {
  const accounts = [1, 2, 3, 4, 5].map((id) => ({ id, limit: constantLimit }));
  const plan = contestPlan({ ...options, accounts });
  return { ...plan, phases: plan.phases.filter(({ kind }) => kind === 'load') };
}

async function run(command: string, args: readonly string[], { signal }: Context): Promise<void> {
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'], signal });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  if (code !== 0) throw new Error(`${command} ended with code ${String(code)}`);
}

/** Starts the constant server and resolves with its address. */
async function startServer(
  file: string,
  args: readonly string[],
  { cpu, signal }: Context,
): Promise<{ readonly child: ChildProcess; readonly address: string }> {
  const pin = cpu === undefined ? [] : ['--cpu', String(cpu)];
  const child = spawn(file, [...args, ...pin], { stdio: ['ignore', 'pipe', 'inherit'], signal });
  // Ending it is how a trial ends: that the signal ended it is no error.
  child.on('error', () => undefined);
  for await (const line of createInterface(child.stdout)) {
    const address = /^listening (.+)$/.exec(line)?.[1];
    if (address !== undefined) return { child, address };
  }
  throw new Error('the constant server did not start');
}

function targetOf(address: string): Target {
  if (address.startsWith('/')) return { path: address };
  const [host, port] = address.split(':');
  return { host: host!, port: Number(port) };
}

/** Plays in a process of its own, on another CPU than the server. */
async function play(target: Target, load: PlanOptions, context: Context): Promise<ContestResult> {
  const other = context.cpu === undefined || context.cpu === 0 ? undefined : context.cpu - 1;
  const args = [script, JSON.stringify(target), JSON.stringify(load)];
  const [command, all] = pinned(other, process.execPath, args);
  const child = spawn(command, all, {
    stdio: ['ignore', 'pipe', 'inherit'],
    signal: context.signal,
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await new Promise((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  const result = JSON.parse(output) as ContestResult;
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

export const contestBaseline: Trial = {
  name: 'contest-baseline',
  group: 'stack',
  title: "the contest player's own share: its load against a server that answers a constant",

  async run(context) {
    const server = join(context.directory, 'constant_server');
    const source = at('bench/load/constant_server.cc');
    await run('c++', ['-std=c++20', '-O2', '-o', server, source], context);
    const load = context.small ? smallLoad : quick;
    const listening = [
      ['constant answer over TCP', ['--port', '0']],
      ['constant answer over a unix socket', ['--unix', join(context.directory, 'socket')]],
    ] as const;
    const players = listening.map(([title, args]) => async () => {
      context.progress(`contest-baseline: ${title}`);
      const { child, address } = await startServer(server, args, context);
      try {
        return await play(targetOf(address), load, context);
      } finally {
        child.kill();
      }
    });
    const results = await takeTurns(players, context.small ? 1 : rounds);
    return {
      trial: 'contest-baseline',
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
      rows: results.map((ofServer, index) => rowOf(listening[index]![0], ofServer)),
      budgets: [],
      notes: [
        'Latency from the intended start; "late" is how much of it passed before the player began.',
        'A connection per request, up to 340 a second; player and server each on a CPU of its own.',
      ],
    };
  },
};

if (process.argv[1] === script) {
  const [target, load] = process.argv.slice(2).map((json) => JSON.parse(json) as unknown);
  const result = await playPhases({
    plan: loadOf(load as PlanOptions),
    target: target as Target,
    authority: 'localhost:9999',
    seed: 1,
  });
  process.stdout.write(JSON.stringify({ ...result, timeline: [] }));
}
