// Other software in the shape of our services: a balancer, two api instances and a database, with unix
// sockets between them. What plays under limits and what plays in containers is described here once.

import { join } from 'node:path';
import type { Listening } from '#espora/lab/listening.js';

/** The place of one of our services. */
export interface Place {
  readonly listen: Listening;
  /** The sockets that it forwards to; none: it is the database. */
  readonly to: readonly string[];
  /** A folder for what it stores. */
  readonly data: string;
}

/** What takes a place. */
interface Hop {
  /** haproxy, or one of bench/load. */
  readonly program: string;
  readonly args: readonly string[];
  /** The text of a file whose path is one more argument. */
  readonly configuration?: string;
}

export interface Software {
  readonly title: string;
  /** Whose services it is in the places of. */
  readonly topology: 'relay' | 'handoff';
  readonly hop: (place: Place) => Hop;
}

const apis = ['api 1', 'api 2'];

/** A service's name in paths. */
export const plain = (name: string): string => name.replace(' ', '-');

/** The places by our services' names, in the order in which they start; `sockets` is the folder of those. */
export function placesOf(sockets: string, data: string, port: number): ReadonlyMap<string, Place> {
  const socketOf = (name: string): string => join(sockets, `${plain(name)}.sock`);
  const inside = (name: string, to: readonly string[]): [string, Place] => [
    name,
    { listen: { path: socketOf(name) }, to: to.map(socketOf), data },
  ];
  return new Map([
    inside('database', []),
    ...apis.map((name) => inside(name, ['database'])),
    ['balancer', { listen: { port }, to: apis.map(socketOf), data }],
  ]);
}

export const haproxyTcp = (
  listen: string,
  servers: readonly string[],
  options: readonly string[] = [],
): string => `global
  nbthread 1
  maxconn 8000
  maxpipes 64
defaults
  mode tcp
${options.map((option) => `  option ${option}\n`).join('')}\
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend in
  bind ${listen}
  default_backend out
backend out
  balance roundrobin
${servers.map((server, index) => `  server s${index} ${server}`).join('\n')}
`;

const flagsOf = (listen: Listening): string[] =>
  'port' in listen ? ['--port', String(listen.port)] : ['--unix', listen.path];

export const haproxyChainTitle = 'HAProxy twice, then a constant answer; nothing stored';

/** HAProxy as the balancer and as both api instances, before a server that answers a constant. */
export const haproxyChain: Software = {
  title: haproxyChainTitle,
  topology: 'relay',
  hop: ({ listen, to }) => {
    if (to.length === 0) return { program: 'minimal_handoff', args: flagsOf(listen) };
    const own = 'port' in listen ? `127.0.0.1:${listen.port}` : `unix@${listen.path}`;
    const servers = to.map((path) => `unix@${path}`);
    // -db: in the foreground.
    return { program: 'haproxy', args: ['-db', '-f'], configuration: haproxyTcp(own, servers) };
  },
};

/** What the minimal programs of a topology do: they relay or hand over, and store a block, or nothing. */
export interface Minimal {
  readonly topology: 'relay' | 'handoff';
  readonly stores: boolean;
}

/** The least that could be called the same as ours: the floor of the kernel, and of the disk. */
export const minimalTitle = ({ topology, stores }: Minimal): string => {
  const hops = { relay: 'the minimal relays', handoff: 'the minimal handoff' }[topology];
  return stores
    ? `${hops}, then one write and flush per turn; no HTTP, no ledger`
    : `${hops}, then a constant answer; nothing stored`;
};

export const minimal = (what: Minimal): Software => ({
  title: minimalTitle(what),
  topology: what.topology,
  hop: ({ listen, to, data }) => {
    const relays = what.topology === 'relay' && to.length > 0;
    const file = what.stores && to.length === 0 ? ['--file', join(data, 'flushed')] : [];
    const peers = to.flatMap((path) => [relays ? '--upstream' : '--to', path]);
    return {
      program: relays ? 'minimal_relay' : 'minimal_handoff',
      args: [...flagsOf(listen), ...peers, ...file],
    };
  },
});
