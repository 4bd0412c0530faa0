// A topology is data: which services there are, what each forwards to, and what resources each may use.
// `espora start`, the tests, the benchmarks and the compose files all derive from it.
import { join } from 'node:path';
import { invalid } from '../errors.js';
import { socketPathProblem } from '../options/kinds.js';
import { optionsOf, variableOf, type OptionName, type ServiceKind } from '../options/table.js';
import type { Setting } from '../options/resolve.js';

/** Share of the machine that a service may use where it is enforced: in containers and control groups. */
export interface ResourceLimits {
  readonly cpus: number;
  readonly memoryMegabytes: number;
}

export interface ServiceNode {
  /** Unique within the topology; the process is called `espora <name>`. */
  readonly name: string;
  readonly kind: ServiceKind;
  /** `entry`: at the address for clients. `socket`: on a unix socket. */
  readonly listen: 'entry' | 'socket';
  /** Names of the services that it forwards to; they start first. */
  readonly upstreams: readonly string[];
  /** How it forwards; default `relay`. */
  readonly mode?: 'relay' | 'handoff';
  readonly limits: ResourceLimits;
}

export interface Topology {
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  readonly services: readonly ServiceNode[];
}

/** How one process of a topology is started. */
export interface ServicePlan extends Pick<ServiceNode, 'name' | 'kind' | 'upstreams' | 'limits'> {
  /** Its options, as the environment variables that `espora <kind>` reads. */
  readonly environment: Readonly<Record<string, string>>;
  /** Its unix socket, if it listens on one. */
  readonly unixSocket: string | undefined;
}

/**
 * The services in an order in which each comes after its upstreams, otherwise as listed. Throws a plain
 * Error on a cycle, an unknown upstream or a name used twice, which are bugs in our own data.
 */
export function startOrder(topology: Topology): readonly ServiceNode[] {
  const byName = new Map(topology.services.map((node) => [node.name, node]));
  if (byName.size !== topology.services.length) {
    throw new Error(`topology ${topology.name}: a name is used twice`);
  }
  const order: ServiceNode[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const visit = (node: ServiceNode): void => {
    if (state.get(node.name) === 'done') return;
    if (state.get(node.name) === 'open') {
      throw new Error(`topology ${topology.name}: ${node.name} is its own upstream`);
    }
    state.set(node.name, 'open');
    for (const name of node.upstreams) {
      const upstream = byName.get(name);
      if (upstream === undefined || upstream.listen !== 'socket') {
        throw new Error(`topology ${topology.name}: ${node.name} has no upstream ${name}`);
      }
      visit(upstream);
    }
    state.set(node.name, 'done');
    order.push(node);
  };
  for (const node of topology.services) visit(node);
  return order;
}

/** File name of a service's socket: `api-1.sock` for `api 1`. */
export function socketName(name: string): string {
  return `${name.replaceAll(/[^A-Za-z0-9]+/g, '-')}.sock`;
}

/** Options of `start` that apply only to the service that listens for clients. */
export const entryOptions: readonly OptionName[] = ['host', 'port', 'listenFds', 'readyFile'];

/**
 * How each process is started, in start order: with the settings of `start` that apply to its kind, the
 * address for clients, and the sockets in `socketDirectory`. Pure. Throws ERR_ESPORA_INVALID if a
 * socket's path would be too long.
 */
export function planServices(
  topology: Topology,
  settings: readonly Setting[],
  socketDirectory: string,
): readonly ServicePlan[] {
  return startOrder(topology).map((node) => {
    const environment: Record<string, string> = { ESPORA_NAME: node.name };
    const applies = new Set(optionsOf(node.kind));
    for (const setting of settings) {
      if (!applies.has(setting.name) || setting.text === undefined) continue;
      // The address for clients and the metrics port are used once, not by every service.
      const ofEntry = entryOptions.includes(setting.name);
      if ((ofEntry && node.listen !== 'entry') || setting.name.startsWith('metrics')) continue;
      if (setting.source === 'default' && !ofEntry) continue;
      environment[setting.variable] = setting.text;
    }
    const socketOf = (name: string): string => {
      const path = join(socketDirectory, socketName(name));
      const problem = socketPathProblem(path);
      if (problem === undefined) return path;
      throw invalid(`${path} cannot be a socket: ${problem}`);
    };
    const unixSocket = node.listen === 'socket' ? socketOf(node.name) : undefined;
    if (unixSocket !== undefined) environment[variableOf('unixSocket')] = unixSocket;
    const upstreams = node.upstreams.map(socketOf);
    if (node.kind === 'balancer') environment[variableOf('upstreams')] = upstreams.join(',');
    if (node.kind === 'api') environment[variableOf('db')] = upstreams.join(',');
    if (node.mode !== undefined) environment[variableOf('mode')] = node.mode;
    const { name, kind, limits } = node;
    Object.freeze(environment);
    return { name, kind, environment, unixSocket, upstreams: node.upstreams, limits };
  });
}
