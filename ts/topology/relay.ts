// The contest's topology: a balancer in front of two api instances in front of the database, every hop a
// relay over unix sockets.
import type { Topology } from './topology.js';

const api = {
  kind: 'api',
  listen: 'socket',
  upstreams: ['database'],
  limits: { cpus: 0.2, memoryMegabytes: 100 },
} as const;

export const relay: Topology = Object.freeze({
  name: 'relay',
  summary: 'balancer → 2 api instances → database, every hop a relay',
  services: [
    {
      name: 'database',
      kind: 'database',
      listen: 'socket',
      upstreams: [],
      limits: { cpus: 0.4, memoryMegabytes: 240 },
    },
    { name: 'api 1', ...api },
    { name: 'api 2', ...api },
    {
      name: 'balancer',
      kind: 'balancer',
      listen: 'entry',
      upstreams: ['api 1', 'api 2'],
      limits: { cpus: 0.7, memoryMegabytes: 110 },
    },
  ],
} as const);
