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
import { haproxyChain, minimal, placesOf, plain } from './shape.js';
import type { Software } from './shape.js';

// What does not listen by then fails in the load, with a reason.
const readyTries = 300;
const readyPauseMs = 100;

export const composeFiles = ['relay', 'handoff', 'nginx'] as const;
const floor = minimal({ topology: 'handoff', stores: true });
export const floorTitle = floor.title;
/** In the order in which they play. */
export const titles: readonly string[] = [
  ...composeFiles.map((name) => `docker/${name}.yml`),
  haproxyChain.title,
  floorTitle,
];

/** A compose file for other software in our shape, with the limits of a topology. */
async function writeComposeFile(
  { topology, hop }: Software,
  directory: string,
  port: number,
): Promise<string> {
  const folder = await mkdtemp(join(directory, 'other-'));
  const places = placesOf('/run/espora', '/data', port);
  const services: string[] = [];
  for (const { name, limits } of topologies[topology].services) {
    const { program, args, configuration } = hop(places.get(name)!);
    const file = `${plain(name)}.cfg`;
    if (configuration !== undefined) await writeFile(join(folder, file), configuration);
    const command = [
      program === 'haproxy' ? '/usr/sbin/haproxy' : `/usr/bin/bench_${program}`,
      ...args,
      ...(configuration === undefined ? [] : [`/configuration/${file}`]),
    ];
    services.push(`  ${plain(name)}:
    image: '\${CHAIN_IMAGE}'
    entrypoint: ${JSON.stringify(command)}
    network_mode: '${name === 'balancer' ? 'host' : 'none'}'
    volumes: ['sockets:/run/espora', 'data:/data', '${folder}:/configuration:ro']
    init: true
    deploy: { resources: { limits: { cpus: '${limits.cpus}', memory: '${limits.memoryMegabytes}M' } } }`);
  }
  const file = join(folder, 'other.yml');
  const volumes = 'volumes:\n  sockets:\n  data:\n';
  await writeFile(file, `services:\n${services.join('\n')}\n${volumes}`);
  return file;
}

/** Starts it, on a port that is free; `scratch` is for its files, and stays. */
async function startOther(software: Software, scratch: string): Promise<Subject> {
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
  ...[haproxyChain, floor].map((software) => () => startOther(software, scratch)),
];
