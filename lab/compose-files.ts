// Compose files from topologies, so that containers run what `espora start` runs. Pure.
import { resolveOptions } from '#espora/options/resolve.js';
import { optionTable } from '#espora/options/table.js';
import { planServices, socketName } from '#espora/topology/topology.js';
import type { ResourceLimits, ServicePlan, Topology } from '#espora/topology/topology.js';

/** Where things are inside the containers. */
export const containerPaths = Object.freeze({
  sockets: '/run/espora',
  data: '/data',
  health: '/run/espora-health',
  nginxConfiguration: '/etc/nginx/nginx.conf',
});

/** User and group of every container: `node` in the official images. */
export const containerUser = '1000:1000';

/** The total that containers may use, by the contest's rules. */
export const contestLimits: ResourceLimits = Object.freeze({ cpus: 1.5, memoryMegabytes: 550 });

/** What accepts clients: our balancer, or nginx in its place. */
export type Entry = 'balancer' | 'nginx';

// Ports are variables, so that two sets of containers can run on one machine.
const entryPort = '${PORT:-9999}';
const metricsPort = '${METRICS_PORT:-9998}';
const healthInterval = '${HEALTHCHECK_INTERVAL:-30s}';
const image = '${ESPORA_IMAGE:-espora:latest}';
const nginxImage = '${NGINX_IMAGE:-nginx:1.28-bookworm}';

// nginx must close an idle connection well before the service does, or a request may meet a closed one.
const nginxKeepAliveSeconds = Math.floor(optionTable.keepAliveTimeout.default / 1000) - 15;

type Yaml = string | number | boolean | readonly Yaml[] | { readonly [key: string]: Yaml };

function scalar(value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value);
  return `'${value.replaceAll("'", "''")}'`;
}

function isScalar(value: Yaml): value is string | number | boolean {
  return typeof value !== 'object';
}

/** Lines of YAML: strings in single quotes, so that none is taken for another type. */
function yamlLines(value: Yaml, indent: string): string[] {
  if (isScalar(value)) return [`${indent}${scalar(value)}`];
  if (Array.isArray(value)) {
    const items = value as readonly Yaml[];
    if (items.every(isScalar)) return [`${indent}[${items.map(scalar).join(', ')}]`];
    return items.flatMap((item) => {
      const [first = '', ...rest] = yamlLines(item, `${indent}  `);
      return [`${indent}- ${first.trimStart()}`, ...rest];
    });
  }
  return Object.entries(value).flatMap(([key, member]) => {
    if (isScalar(member)) return [`${indent}${key}: ${scalar(member)}`];
    const lines = yamlLines(member, `${indent}  `);
    const flow = lines.length === 1 && lines[0]!.trimStart().startsWith('[');
    return flow ? [`${indent}${key}: ${lines[0]!.trimStart()}`] : [`${indent}${key}:`, ...lines];
  });
}

/** `api-1` for `api 1`: a service's name in a compose file. */
export function containerName(name: string): string {
  return socketName(name).replace(/\.sock$/, '');
}

function resources({ cpus, memoryMegabytes }: ResourceLimits): Yaml {
  return { resources: { limits: { cpus: String(cpus), memory: `${memoryMegabytes}M` } } };
}

// Services may do only what they need: they write to their two volumes and, for the ready file, to a
// folder in memory.
const confined = {
  init: true,
  restart: 'on-failure',
  user: containerUser,
  read_only: true,
  cap_drop: ['ALL'],
  security_opt: ['no-new-privileges:true'],
  logging: { driver: 'json-file', options: { 'max-size': '1m' } },
} as const satisfies Yaml;

function volumesOf(plan: ServicePlan): string[] {
  const volumes = [`sockets:${containerPaths.sockets}`];
  return plan.kind === 'database' ? [...volumes, `data:${containerPaths.data}`] : volumes;
}

function environmentOf(plan: ServicePlan): Record<string, string> {
  const environment: Record<string, string> = { ...plan.environment };
  if ('PORT' in environment) environment['PORT'] = entryPort;
  if (plan.kind === 'database') {
    environment['ESPORA_DATA'] = containerPaths.data;
    environment['ESPORA_METRICS_PORT'] = metricsPort;
  }
  return environment;
}

/** Only services that listen on a port need a network: the entry, and the database for its metrics. */
function networkOf(plan: ServicePlan): 'host' | 'none' {
  return 'PORT' in plan.environment || plan.kind === 'database' ? 'host' : 'none';
}

/**
 * Only one container has a health check, which goes through all hops: the entry or, behind nginx, the
 * database. Each check starts a program in the container, which takes more CPU than a small container has
 * in one period of its limit, and costs the engine as much as hundreds of requests. So the interval is no
 * shorter than the engines' default.
 */
function isAsked(plan: ServicePlan, entry: Entry): boolean {
  return plan.kind === (entry === 'nginx' ? 'database' : 'balancer');
}

function ownService(plan: ServicePlan, builds: boolean, entry: Entry): Yaml {
  return {
    image,
    ...(builds ? { build: { context: '..', dockerfile: 'docker/Dockerfile' } } : {}),
    command: [plan.kind],
    environment: environmentOf(plan),
    network_mode: networkOf(plan),
    volumes: volumesOf(plan),
    tmpfs: [`${containerPaths.health}:mode=1777,size=64k`],
    ...(plan.upstreams.length === 0 ? {} : { depends_on: plan.upstreams.map(containerName) }),
    deploy: resources(plan.limits),
    healthcheck: isAsked(plan, entry) ? { interval: healthInterval } : { disable: true },
    ...confined,
  };
}

function nginxService(plan: ServicePlan): Yaml {
  const configuration = `\${NGINX_CONFIGURATION:-./nginx.conf}:${containerPaths.nginxConfiguration}:ro`;
  return {
    image: nginxImage,
    command: ['nginx', '-c', containerPaths.nginxConfiguration],
    network_mode: 'host',
    volumes: [`sockets:${containerPaths.sockets}`, configuration],
    tmpfs: ['/tmp:mode=1777'],
    depends_on: plan.upstreams.map(containerName),
    deploy: resources(plan.limits),
    ...confined,
    stop_signal: 'SIGQUIT',
  };
}

/** The compose file of a topology, with `entry` as its entry. */
export function composeFile(topology: Topology, entry: Entry = 'balancer'): string {
  const plans = planServices(
    topology,
    resolveOptions('start', {}).settings,
    containerPaths.sockets,
  );
  const services = plans.map((plan, index): [string, Yaml] =>
    entry === 'nginx' && plan.kind === 'balancer'
      ? ['nginx', nginxService(plan)]
      : [containerName(plan.name), ownService(plan, index === 0, entry)],
  );
  const what =
    entry === 'nginx' ? `${topology.summary}; nginx in the balancer's place` : topology.summary;
  return [
    '# Made by `npm run compose` out of ts/topology/: change it there.',
    `# ${what}.`,
    ...yamlLines(
      { services: Object.fromEntries(services), volumes: { sockets: {}, data: {} } },
      '',
    ).map((line) => line.replace(/^( {2}(?:sockets|data)):$/, '$1: {}')),
    '',
  ].join('\n');
}

/** nginx's configuration as a balancer in front of the instances of `topology`, listening on `port`. */
export function nginxConfiguration(topology: Topology, port: number): string {
  const entry = topology.services.find(({ listen }) => listen === 'entry')!;
  const servers = entry.upstreams.map(
    (name) => `        server unix:${containerPaths.sockets}/${socketName(name)};`,
  );
  return `# Made by \`npm run compose\` out of ts/topology/: change it there.
# One process, in the foreground, not root; it writes to its tmpfs only.
daemon off;
master_process off;
pid /tmp/nginx.pid;
error_log stderr warn;

events {
    worker_connections 8192;
    multi_accept on;
}

http {
    access_log off;
    client_body_temp_path /tmp/client_body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    client_body_in_single_buffer on;
    client_body_buffer_size 16k;
    tcp_nodelay on;

    upstream api {
${servers.join('\n')}
        keepalive 256;
        # Less than the service's --keep-alive-timeout: the side that sends requests must close first.
        keepalive_timeout ${nginxKeepAliveSeconds}s;
    }

    server {
        listen ${port} backlog=4096;

        location / {
            proxy_pass http://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }
    }
}
`;
}

/** Every file of `docker/` that is made from a topology, by name. */
export function composeFiles(
  topologies: Readonly<Record<string, Topology>>,
): Readonly<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const name of ['relay', 'handoff']) {
    const topology = topologies[name];
    if (topology !== undefined) files[`${name}.yml`] = composeFile(topology);
  }
  const relay = topologies['relay']!;
  files['nginx.yml'] = composeFile(relay, 'nginx');
  files['nginx.conf'] = nginxConfiguration(relay, 9999);
  return files;
}
