// What the trials under limits play against: espora's topologies, HAProxy in their shape before a
// server that stores nothing, and nginx before two Node.js servers before PostgreSQL.

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { freePort } from '#espora/lab/free-port.js';
import { startLimited } from '#espora/lab/limited-topology.js';
import { topologies } from '#espora/topology/index.js';
import type { ResourceLimits } from '#espora/topology/topology.js';
import { findProgram, LimitedRig, nativeProgram, run } from '../lib/processes.js';
import { at } from '../lib/project.js';
import { haproxyChain, placesOf, plain } from './shape.js';
import type { Software } from './shape.js';

/** Something that runs under limits on a port of 127.0.0.1. */
export interface Running {
  readonly port: number;
  /** Of all its processes, since they were started. */
  readonly cpuSeconds: () => number;
  /** Flushes since the start; undefined where nothing is stored, or nobody counts. */
  readonly flushes: () => Promise<number | undefined>;
  readonly stop: () => Promise<void>;
}

export interface Contestant {
  readonly title: string;
  /** What must be installed before it can run; empty: it can. */
  readonly missing: readonly string[];
  /** `directory`: empty, on the disk to measure. */
  readonly start: (directory: string) => Promise<Running>;
}

/** A topology of ours, with its own limits or others. */
export function espora(
  name: keyof typeof topologies,
  limits: Readonly<Record<string, ResourceLimits>> = {},
): Contestant {
  return {
    title: `espora, ${name}`,
    missing: [],
    start: async (directory) => {
      const options = { port: 0, dataParent: directory, limits };
      const started = await startLimited(topologies[name], options);
      return {
        port: started.port,
        cpuSeconds: () => started.services.reduce((sum, { read }) => sum + read().cpuSeconds, 0),
        flushes: async () => (await started.askDatabase())?.flushes,
        stop: () => started.stop(),
      };
    },
  };
}

/** Starts into a rig; whatever fails takes down what was started. */
async function inRig(work: (rig: LimitedRig) => Promise<number>): Promise<Running> {
  const rig = new LimitedRig();
  try {
    const port = await work(rig);
    return {
      port,
      cpuSeconds: () => rig.cpuSeconds(),
      flushes: () => Promise.resolve(undefined),
      stop: () => rig.stop(),
    };
  } catch (error) {
    await rig.stop();
    throw error;
  }
}

/** CPUs of the database, of each api, and of the balancer. */
export type Split = readonly [database: number, api: number, balancer: number];

/** What a topology has by now. */
export function splitOf(name: 'relay' | 'handoff'): Split {
  const cpusOf = (wanted: string): number =>
    topologies[name].services.find(({ kind }) => kind === wanted)!.limits.cpus;
  return [cpusOf('database'), cpusOf('api'), cpusOf('balancer')];
}

/** The limits of our topology's services, with other CPUs. */
export function limitsFor([database, api, balancer]: Split): Readonly<
  Record<string, ResourceLimits>
> {
  const cpus = { database, api, balancer };
  return Object.fromEntries(
    topologies.relay.services.map(({ name, kind, limits }) => [
      name,
      { ...limits, cpus: cpus[kind] },
    ]),
  );
}

function limitsOf(name: string): ResourceLimits {
  return topologies.relay.services.find((service) => service.name === name)!.limits;
}

const haproxy = findProgram('haproxy');
const nginx = findProgram('nginx');
const postgres = findProgram('postgres', '/usr/lib/postgresql/15/bin');
const initdb = findProgram('initdb', '/usr/lib/postgresql/15/bin');
const psql = findProgram('psql');
const setpriv = findProgram('setpriv');
const fastify = findProgram('fastify', at('bench/peers/npm/node_modules'));

function missing(programs: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(programs)
    .filter(([, path]) => path === undefined)
    .map(([name]) => name);
}

/** Other software in the places of our services. */
export const inOurShape = (
  software: Software,
  limits: Readonly<Record<string, ResourceLimits>> = {},
): Contestant => ({
  title: software.title,
  missing: software === haproxyChain ? missing({ haproxy }) : [],
  start: (directory) =>
    inRig(async (rig) => {
      const port = await freePort();
      for (const [name, place] of placesOf(directory, directory, port)) {
        const { program, args, configuration } = software.hop(place);
        const path = join(directory, `${plain(name)}.cfg`);
        if (configuration !== undefined) await writeFile(path, configuration);
        const file = program === 'haproxy' ? haproxy! : nativeProgram(program);
        const command = { file, args: configuration === undefined ? args : [...args, path] };
        await rig.start(plain(name), limits[name] ?? limitsOf(name), command, place.listen);
      }
      return port;
    }),
});

const peerShares = {
  nginx: { cpus: 0.2, memoryMegabytes: 50 },
  api: { cpus: 0.35, memoryMegabytes: 130 },
  database: { cpus: 0.6, memoryMegabytes: 240 },
} as const;

const nginxConfiguration = (directory: string, port: number): string => `daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log ${directory}/nginx.log warn;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  upstream api {
    server unix:${directory}/api-1.sock;
    server unix:${directory}/api-2.sock;
    keepalive 256;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://api;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`;

/** A PostgreSQL cluster with its durable defaults; it must not run as root. */
async function startPostgres(rig: LimitedRig, directory: string): Promise<string> {
  const data = join(directory, 'postgres');
  await mkdir(data);
  // Its user must get there.
  for (const folder of [directory, dirname(directory), dirname(dirname(directory))]) {
    await chmod(folder, 0o755);
  }
  await run({ file: 'chown', args: ['postgres:postgres', data] });
  const asPostgres = ['--reuid', 'postgres', '--regid', 'postgres', '--clear-groups'];
  const cluster = join(data, 'cluster');
  const create = [...asPostgres, initdb!, '-D', cluster, '-U', 'postgres', '-A', 'trust'];
  await run({ file: setpriv!, args: create }, { cwd: data });
  const args = [...asPostgres, postgres!, '-D', cluster, '-k', data, '-c', 'listen_addresses='];
  const command = { file: setpriv!, args };
  await rig.start('database', peerShares.database, command, { path: join(data, '.s.PGSQL.5432') });
  const connect = ['-q', '-h', data, '-U', 'postgres', '-v', 'ON_ERROR_STOP=1'];
  for (let attempt = 0; ; attempt++) {
    try {
      await run({ file: psql!, args: [...connect, '-c', 'CREATE DATABASE rinha'] });
      break;
    } catch (error) {
      // It listens before it is ready.
      if (attempt === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  await run({
    file: psql!,
    args: [...connect, '-d', 'rinha', '-f', at('bench/peers/npm/schema.sql')],
  });
  return data;
}

/** What the field would build: nginx, two Node.js servers, PostgreSQL. */
export const nodePeer: Contestant = {
  title: 'nginx, 2 × fastify and pg, PostgreSQL',
  missing: missing({ nginx, postgres, initdb, psql, setpriv, fastify }),
  start: (directory) =>
    inRig(async (rig) => {
      const PGHOST = await startPostgres(rig, directory);
      for (const name of ['api-1', 'api-2']) {
        const SOCKET = join(directory, `${name}.sock`);
        const command = { file: process.execPath, args: [at('bench/peers/npm/server.js')] };
        const env = { ...process.env, SOCKET, PGHOST, NODE_ENV: 'production' };
        await rig.start(name, peerShares.api, command, { path: SOCKET }, env);
        // nginx's worker may have another user.
        await chmod(SOCKET, 0o666);
      }
      const port = await freePort();
      const file = join(directory, 'nginx.conf');
      await writeFile(file, nginxConfiguration(directory, port));
      const command = { file: nginx!, args: ['-c', file] };
      await rig.start('nginx', peerShares.nginx, command, { port });
      return port;
    }),
};
