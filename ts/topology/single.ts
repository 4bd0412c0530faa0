// The database alone, which answers clients directly.
import type { Topology } from './topology.js';

export const single: Topology = Object.freeze({
  name: 'single',
  summary: 'the database alone',
  services: [
    {
      name: 'database',
      kind: 'database',
      listen: 'entry',
      upstreams: [],
      limits: { cpus: 1.5, memoryMegabytes: 550 },
    },
  ],
} as const);
