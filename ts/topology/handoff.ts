// The contest's topology with every hop a handoff: balancer and api instances pass the client's socket
// on, and the database answers the client directly.
import { relay } from './relay.js';
import type { Topology } from './topology.js';

const shares = { balancer: 0.3, api: 0.2, database: 0.8 } as const;

export const handoff: Topology = Object.freeze({
  name: 'handoff',
  summary: 'balancer → 2 api instances → database, every hop a handoff',
  services: relay.services.map((node) => ({
    ...node,
    ...(node.upstreams.length === 0 ? {} : { mode: 'handoff' as const }),
    // Most of the CPU is used where the requests are answered.
    limits: { ...node.limits, cpus: shares[node.kind] },
  })),
});
