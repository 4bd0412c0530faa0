// The process that `containers` starts with a Docker engine at hand: plays the whole contest against
// every compose file of docker/, and the contest's load against HAProxy and the barest handoff in our
// shape, in turn.

import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
import { accepts } from '../lib/limited-rig.js';
import { at } from '../lib/project.js';
import { composeFiles, floorTitle } from './containers.js';
import { flushAtPace, flushTitle } from './flush-at-pace.js';
import type { Latency } from './flush-at-pace.js';
import { haproxyChainTitle, haproxyTcp } from './limited-subjects.js';
import { constantAccounts, loadAlone, smallLoad } from './load-alone.js';

const seed = 1;
const flushSeconds = 60;
const smallFlushSeconds = 0.1;
// Whoever does not listen by then fails in the load, with a reason.
const readyTries = 300;
const readyPauseMs = 100;

/** What this process is told. */
export interface Orders {
  readonly small: boolean;
  readonly rounds: number;
  /** Where reports and results of our own stay. */
  readonly reports: string;
  /** On the disk to measure; removed afterwards. */
  readonly scratch: string;
  /** The file for what was found. */
  readonly results: string;
}

export interface Round {
  readonly requests: number;
  readonly failures: number;
  /** Undefined: only the load was played. */
  readonly prizeUsd: number | undefined;
  readonly p50: number;
  readonly p99: number;
  readonly services: readonly ServiceFigures[];
}

/** Every round of each compose file, in their order, of HAProxy's chain, of the barest handoff, and of the flush alone. */
export interface Results {
  readonly files: readonly Round[][];
  readonly chain: Round[];
  readonly floor: Round[];
  readonly flush: Latency[];
}

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

/** What takes the places of our services: the command of each, by its name without spaces. */
interface Shape {
  readonly topology: 'proxy' | 'handoff';
  readonly commands: (port: number) => Readonly<Record<string, readonly string[]>>;
  /** Files of /configuration. */
  readonly files?: (port: number) => Readonly<Record<string, string>>;
}

const socketOf = (name: string): string => `/run/espora/${name}.sock`;
const apis = ['api-1', 'api-2'];

const haproxyShape: Shape = {
  topology: 'proxy',
  commands: () => ({
    database: ['/usr/bin/bench_constant_server', '--unix', socketOf('database')],
    ...Object.fromEntries(
      [...apis, 'balancer'].map((name) => [
        name,
        ['/usr/sbin/haproxy', '-db', '-f', `/configuration/${name}.cfg`],
      ]),
    ),
  }),
  files: (port) => ({
    ...Object.fromEntries(
      apis.map((name) => [
        `${name}.cfg`,
        haproxyTcp(`unix@${socketOf(name)}`, [`unix@${socketOf('database')}`]),
      ]),
    ),
    'balancer.cfg': haproxyTcp(
      `127.0.0.1:${port}`,
      apis.map((name) => `unix@${socketOf(name)}`),
    ),
  }),
};

const barest = (listen: readonly string[], ...more: readonly string[]): readonly string[] => [
  '/usr/bin/bench_barest_handoff',
  ...listen,
  ...more,
];
const barestShape: Shape = {
  topology: 'handoff',
  commands: (port) => ({
    database: barest(['--unix', socketOf('database')], '--file', '/data/flushed'),
    ...Object.fromEntries(
      apis.map((name) => [name, barest(['--unix', socketOf(name)], '--to', socketOf('database'))]),
    ),
    balancer: barest(['--port', String(port)], ...apis.flatMap((name) => ['--to', socketOf(name)])),
  }),
};

/** A compose file for other software in our shape, with the limits of a topology. */
async function writeShape(
  { topology, commands, files = () => ({}) }: Shape,
  directory: string,
  port: number,
): Promise<string> {
  const folder = await mkdtemp(join(directory, 'shape-'));
  const services = topologies[topology].services.map(({ name, limits }) => {
    const plain = name.replace(' ', '-');
    return [
      `  ${plain}:`,
      `    image: '\${CHAIN_IMAGE}'`,
      `    entrypoint: ${JSON.stringify(commands(port)[plain])}`,
      `    network_mode: '${plain === 'balancer' ? 'host' : 'none'}'`,
      `    volumes: ['sockets:/run/espora', 'data:/data', '${folder}:/configuration:ro']`,
      '    init: true',
      `    deploy: { resources: { limits: { cpus: '${limits.cpus}', memory: '${limits.memoryMegabytes}M' } } }`,
    ].join('\n');
  });
  for (const [name, text] of Object.entries(files(port))) await writeFile(join(folder, name), text);
  const file = join(folder, 'shape.yml');
  const volumes = 'volumes:\n  sockets:\n  data:\n';
  await writeFile(file, `services:\n${services.join('\n')}\n${volumes}`);
  return file;
}

/** The load alone: a constant passes no check. */
async function playShape(shape: Shape, load: PlanOptions, { scratch }: Orders): Promise<Round> {
  const port = await freePort();
  const subject = await startCompose(await writeShape(shape, scratch, port), { port });
  try {
    for (let tries = 0; !(await accepts({ port })) && tries < readyTries; tries++) {
      await sleep(readyPauseMs);
    }
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
  const results: Results = { files: composeFiles.map(() => []), chain: [], floor: [], flush: [] };
  const say = (text: string): void => void process.stderr.write(`containers: ${text}\n`);
  for (let round = 0; round < orders.rounds; round++) {
    for (const [index, name] of composeFiles.entries()) {
      say(`docker/${name}.yml, ${requestsOf(plan)} requests`);
      results.files[index]!.push(await playFile(name, plan, orders));
    }
    say(haproxyChainTitle);
    results.chain.push(await playShape(haproxyShape, load, orders));
    say(floorTitle);
    results.floor.push(await playShape(barestShape, load, orders));
    say(flushTitle);
    const seconds = orders.small ? smallFlushSeconds : flushSeconds;
    results.flush.push(await flushAtPace(join(orders.scratch, `flushed-${round}`), seconds));
  }
  await writeFile(orders.results, JSON.stringify(results));
}

await playAll(JSON.parse(process.argv[2]!) as Orders);
