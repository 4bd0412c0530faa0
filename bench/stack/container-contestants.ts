// What plays in containers: what ships, and other software in the shape of our services with their limits.

import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCompose } from '#espora/lab/compose-project.js';
import { freePort } from '#espora/lab/free-port.js';
import { accepts } from '#espora/lab/listening.js';
import type { Subject } from '#espora/lab/subject.js';
import { topologies } from '#espora/topology/index.js';
import { at } from '../lib/project.js';
import { haproxyChainTitle, haproxyTcp, minimalTitle } from './contestants.js';

// What does not listen by then fails in the load, with a reason.
const readyTries = 300;
const readyPauseMs = 100;

export const composeFiles = ['relay', 'handoff', 'nginx'] as const;
export const floorTitle = minimalTitle({ topology: 'handoff', stores: true });
/** In the order in which they play. */
export const titles: readonly string[] = [
  ...composeFiles.map((name) => `docker/${name}.yml`),
  haproxyChainTitle,
  floorTitle,
];

/** What takes the places of our services: the command of each, by its name without spaces. */
interface OtherSoftware {
  readonly topology: 'relay' | 'handoff';
  readonly commands: (port: number) => Readonly<Record<string, readonly string[]>>;
  /** Files of /configuration. */
  readonly files?: (port: number) => Readonly<Record<string, string>>;
}

const socketOf = (name: string): string => `/run/espora/${name}.sock`;
const apis = ['api-1', 'api-2'];

const haproxyChain: OtherSoftware = {
  topology: 'relay',
  commands: () => ({
    database: ['/usr/bin/bench_minimal_handoff', '--unix', socketOf('database')],
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

const minimal = (listen: readonly string[], ...more: readonly string[]): readonly string[] => [
  '/usr/bin/bench_minimal_handoff',
  ...listen,
  ...more,
];
const minimalHandoff: OtherSoftware = {
  topology: 'handoff',
  commands: (port) => ({
    database: minimal(['--unix', socketOf('database')], '--file', '/data/flushed'),
    ...Object.fromEntries(
      apis.map((name) => [name, minimal(['--unix', socketOf(name)], '--to', socketOf('database'))]),
    ),
    balancer: minimal(
      ['--port', String(port)],
      ...apis.flatMap((name) => ['--to', socketOf(name)]),
    ),
  }),
};

/** A compose file for other software in our shape, with the limits of a topology. */
async function writeComposeFile(
  { topology, commands, files = () => ({}) }: OtherSoftware,
  directory: string,
  port: number,
): Promise<string> {
  const folder = await mkdtemp(join(directory, 'other-'));
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
  const file = join(folder, 'other.yml');
  const volumes = 'volumes:\n  sockets:\n  data:\n';
  await writeFile(file, `services:\n${services.join('\n')}\n${volumes}`);
  return file;
}

/** Starts it, on a port that is free; `scratch` is for its files, and stays. */
async function startOther(software: OtherSoftware, scratch: string): Promise<Subject> {
  const port = await freePort();
  const running = await startCompose(await writeComposeFile(software, scratch, port), { port });
  for (let tries = 0; !(await accepts({ port })) && tries < readyTries; tries++) {
    await sleep(readyPauseMs);
  }
  return running;
}

/** Starts what ships and what it is held against: each of `titles`, in their order. */
export const starts = (scratch: string): (() => Promise<Subject>)[] => [
  ...composeFiles.map((name) => async () => {
    return startCompose(at(`docker/${name}.yml`), { port: await freePort() });
  }),
  ...[haproxyChain, minimalHandoff].map((software) => () => startOther(software, scratch)),
];
