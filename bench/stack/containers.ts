// The whole contest in containers under its limits, for every compose file of docker/, and beside them
// the load of the contest on the same chain made of HAProxy before a constant answer, in containers
// with the limits of `proxy`.

import { spawn } from 'node:child_process';
import { mkdtemp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startCompose } from '#espora/contest/compose-project.js';
import { playPhases } from '#espora/contest/contest.js';
import { freePort } from '#espora/contest/free-port.js';
import { htmlReport } from '#espora/contest/html/html-report.js';
import { contestPlan, requestsOf } from '#espora/contest/plan.js';
import type { Plan, PlanOptions } from '#espora/contest/plan.js';
import type { ContestResult } from '#espora/contest/result.js';
import { ServiceSampler } from '#espora/contest/service-samplers.js';
import type { ServiceFigures } from '#espora/contest/service-samplers.js';
import { authorityOf, resolveTarget } from '#espora/contest/service.js';
import { playUnderLimits } from '#espora/contest/under-limits.js';
import { topologies } from '#espora/topology/index.js';
import { findProgram } from '../lib/limited-rig.js';
import { buildPrograms } from '../lib/programs.js';
import { at } from '../lib/project.js';
import { budget } from '../lib/report.js';
import type { Budget, Report } from '../lib/report.js';
import { figureOf, ratioOf, takeTurns } from '../lib/statistics.js';
import { TrialFailure } from '../lib/trial.js';
import type { Context, Trial } from '../lib/trial.js';
import { haproxyChainTitle, haproxyTcp } from './limited-subjects.js';
import { constantAccounts, loadAlone, smallLoad } from './load-alone.js';

const script = fileURLToPath(import.meta.url);
const composeFiles = ['proxy', 'handoff', 'nginx'] as const;
const seed = 1;
// Whatever was asked has to be answered right: the contest's whole prize.
const prizeUsd = 100_000;

/** What the process that plays is told. */
interface Orders {
  readonly small: boolean;
  readonly rounds: number;
  /** Where reports and results of our own stay. */
  readonly reports: string;
  /** Removed afterwards; where it leaves what it found. */
  readonly scratch: string;
}
const resultFile = 'containers.json';

interface Round {
  readonly requests: number;
  readonly failures: number;
  /** Undefined: only the load was played. */
  readonly prizeUsd: number | undefined;
  readonly p50: number;
  readonly p99: number;
  readonly services: readonly ServiceFigures[];
}

// ---- the process that plays --------------------------------------------------------------------

async function playFile(name: string, plan: Plan, { reports }: Orders): Promise<Round> {
  const subject = await startCompose(at(`docker/${name}.yml`), { port: await freePort() });
  try {
    const result = await playUnderLimits(subject, { plan, seed });
    await writeFile(join(reports, `${name}.json`), JSON.stringify(result));
    await writeFile(join(reports, `${name}.html`), htmlReport(result));
    const { audit } = result.underLimits!.afterKill!;
    const problems = audit.flatMap(({ problem }) => problem ?? []);
    const failed = result.failureGroups[0] ?? problems[0];
    if (result.outcome !== 'passed') throw new Error(`${name}: ${JSON.stringify(failed)}`);
    return roundOf(result, result.underLimits!.services, result.prize.usd);
  } finally {
    await subject.stop();
  }
}

function roundOf(
  { requests, failures, all }: ContestResult,
  services: readonly ServiceFigures[],
  prize: number | undefined,
): Round {
  const { p50, p99 } = all.latencyMs;
  return { requests, failures, prizeUsd: prize, p50, p99, services };
}

/** A compose file for HAProxy in our shape, with the limits of topology `proxy`. */
async function writeChain(directory: string, port: number): Promise<string> {
  const folder = await mkdtemp(join(directory, 'haproxy-'));
  const socket = (name: string): string => `/run/espora/${name}.sock`;
  const apis = ['api-1', 'api-2'];
  const configurations: Readonly<Record<string, string>> = {
    ...Object.fromEntries(
      apis.map((name) => [
        name,
        haproxyTcp(`unix@${socket(name)}`, [`unix@${socket('database')}`]),
      ]),
    ),
    balancer: haproxyTcp(
      `127.0.0.1:${port}`,
      apis.map((name) => `unix@${socket(name)}`),
    ),
  };
  const services = topologies.proxy.services.map(({ name, limits }) => {
    const plain = name.replace(' ', '-');
    const own = configurations[plain];
    const entrypoint =
      own === undefined
        ? ['/usr/bin/bench_constant_server', '--unix', socket('database')]
        : ['/usr/sbin/haproxy', '-db', '-f', `/configuration/${plain}.cfg`];
    return [
      `  ${plain}:`,
      `    image: '\${CHAIN_IMAGE}'`,
      `    entrypoint: ${JSON.stringify(entrypoint)}`,
      `    network_mode: '${plain === 'balancer' ? 'host' : 'none'}'`,
      `    volumes: ['sockets:/run/espora', '${folder}:/configuration:ro']`,
      '    init: true',
      `    deploy: { resources: { limits: { cpus: '${limits.cpus}', memory: '${limits.memoryMegabytes}M' } } }`,
    ].join('\n');
  });
  for (const [name, text] of Object.entries(configurations)) {
    await writeFile(join(folder, `${name}.cfg`), text);
  }
  const file = join(folder, 'chain.yml');
  await writeFile(file, `services:\n${services.join('\n')}\nvolumes:\n  sockets:\n`);
  return file;
}

async function playChain(load: PlanOptions, { scratch }: Orders): Promise<Round> {
  const port = await freePort();
  const subject = await startCompose(await writeChain(scratch, port), { port });
  try {
    const plan = loadAlone(load, constantAccounts);
    const samplers = subject.services.map(
      ({ name, limits, read }) => new ServiceSampler(name, limits, read),
    );
    const target = await resolveTarget(subject);
    const result = await playPhases({
      plan,
      target,
      authority: authorityOf(subject),
      seed,
      samplers,
    });
    if (result.failures > 0) throw new Error(JSON.stringify(result.failureGroups[0]));
    return roundOf(
      result,
      samplers.map((sampler) => sampler.figures()),
      undefined,
    );
  } finally {
    await subject.stop();
  }
}

async function playAll(orders: Orders): Promise<void> {
  const load = orders.small ? smallLoad : {};
  const plan = contestPlan(load);
  const announced =
    (title: string, play: () => Promise<Round>): (() => Promise<Round>) =>
    () => {
      process.stderr.write(`containers: ${title}, ${requestsOf(plan)} requests\n`);
      return play();
    };
  const players = [
    ...composeFiles.map((name) =>
      announced(`docker/${name}.yml`, () => playFile(name, plan, orders)),
    ),
    announced(haproxyChainTitle, () => playChain(load, orders)),
  ];
  await writeFile(
    join(orders.scratch, resultFile),
    JSON.stringify(await takeTurns(players, orders.rounds)),
  );
}

// ---- the trial ---------------------------------------------------------------------------------

async function runWithDocker(context: Context, orders: Orders, constant: string): Promise<void> {
  // Directly on the disk to measure: the paths of the engine's sockets have to be short.
  const parent = dirname(dirname(context.directory));
  const args = [at('scripts/bench-containers.mjs'), parent, constant];
  const program = [process.execPath, script, JSON.stringify(orders)];
  const child = spawn(process.execPath, [...args, ...program], {
    stdio: ['ignore', 'ignore', 'pipe'],
    signal: context.signal,
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    context.progress(text.trimEnd());
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  if (code !== 0) throw new TrialFailure(`containers: ${said.trim().split('\n').at(-1) ?? ''}`);
}

const columns: Report['columns'] = [
  { key: 'what', title: 'containers' },
  { key: 'requests', title: 'requests' },
  { key: 'failures', title: 'failures' },
  { key: 'prize', title: 'prize, USD' },
  { key: 'p50', title: 'p50 ms' },
  { key: 'p99', title: 'p99' },
  { key: 'cpu', title: 'CPU, most used of a limit', suffix: ' %' },
  { key: 'throttled', title: 'throttled periods, most of any container', suffix: ' %' },
  { key: 'memory', title: 'memory, most of any limit', suffix: ' %' },
];

const most = (round: Round, of: (service: ServiceFigures) => number): number =>
  Math.max(...round.services.map(of));
const throttled = (round: Round): number => most(round, (one) => one.throttledPercent);
const memory = (round: Round): number => most(round, (one) => one.memoryPercentOfLimit);

function rowOf(what: string, rounds: readonly Round[]): Report['rows'][number] {
  const figure = (of: (round: Round) => number) => figureOf(rounds.map(of));
  const prizes = rounds.flatMap(({ prizeUsd: prize }) => prize ?? []);
  return {
    what,
    requests: rounds[0]!.requests,
    failures: rounds.reduce((sum, { failures }) => sum + failures, 0),
    ...(prizes.length > 0 ? { prize: Math.min(...prizes) } : {}),
    p50: figure(({ p50 }) => p50),
    p99: figure(({ p99 }) => p99),
    cpu: figure((round) => most(round, (one) => one.cpuPercentOfLimit)),
    throttled: figure(throttled),
    memory: figure(memory),
  };
}

function budgetsOf(results: readonly (readonly Round[])[]): Budget[] {
  const base = results[composeFiles.length]!;
  const ratios = ([name, limit]: readonly ['proxy' | 'handoff', number]): Budget[] => {
    const own = results[composeFiles.indexOf(name)]!;
    return (['p50', 'p99'] as const).map((key) => {
      const ratio = ratioOf(
        own.map((round) => round[key]),
        base.map((round) => round[key]),
      );
      return budget(`docker/${name}.yml: ${key} over that of HAProxy's chain`, ratio, '≤', limit);
    });
  };
  const each = composeFiles.flatMap((name, index): Budget[] => {
    const own = results[index]!;
    const prizes = figureOf(own.map(({ prizeUsd: prize }) => prize! / prizeUsd));
    return [
      budget(`docker/${name}.yml: part of the prize`, prizes, '≥', 1),
      budget(`docker/${name}.yml: throttled periods, %`, figureOf(own.map(throttled)), '≤', 1),
      budget(`docker/${name}.yml: memory, % of a limit`, figureOf(own.map(memory)), '≤', 70),
    ];
  });
  return [...each, ...[['proxy', 1.6] as const, ['handoff', 1.3] as const].flatMap(ratios)];
}

const needed = { docker: 'docker.io', dockerd: 'docker.io', haproxy: 'haproxy', nginx: 'nginx' };

export const containers: Trial = {
  name: 'containers',
  group: 'containers',
  title: 'the whole contest in containers, under its limits',

  async run(context) {
    const report = { trial: 'containers', title: this.title, columns };
    const leftOut = (why: string): Report => ({
      ...report,
      rows: [],
      budgets: [],
      notes: [`Left out: ${why}.`],
    });
    if (process.getuid!() !== 0) return leftOut('a Docker engine of its own needs root');
    const missing = Object.entries(needed).filter(([name]) => findProgram(name) === undefined);
    if (missing.length > 0) {
      return leftOut(`missing: ${[...new Set(missing.map(([, name]) => name))].join(', ')}`);
    }
    const programs = await buildPrograms();
    if (programs === undefined) return leftOut('it needs cmake');
    const reports = at('.build/containers');
    await mkdir(reports, { recursive: true });
    const orders: Orders = {
      small: context.small,
      rounds: 1,
      reports,
      scratch: context.directory,
    };
    await runWithDocker(context, orders, programs('constant_server'));
    const results = JSON.parse(
      await readFile(join(orders.scratch, resultFile), 'utf8'),
    ) as Round[][];
    const titles = [...composeFiles.map((name) => `docker/${name}.yml`), haproxyChainTitle];
    return {
      ...report,
      rows: results.map((rounds, index) => rowOf(titles[index]!, rounds)),
      budgets: budgetsOf(results),
      notes: [
        'One run of the whole test each, one after the other; the database is killed at the end of each of ours, and what was acknowledged is there.',
        'HAProxy gets the load alone: a constant passes no check. Every container has the limits of its compose file, HAProxy those of docker/proxy.yml.',
        'The player is in no container, and shares the two CPUs with them.',
        'Reports and results are left in .build/containers.',
      ],
    };
  },
};

if (process.argv[1] === script) await playAll(JSON.parse(process.argv[2]!) as Orders);
