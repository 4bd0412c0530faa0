// The topologies by name, as the option `topology` knows them.
import type { Values } from '../options/table.js';
import { handoff } from './handoff.js';
import { proxy } from './proxy.js';
import { single } from './single.js';
import type { Topology } from './topology.js';

export const topologies = Object.freeze({ proxy, handoff, single }) satisfies Record<
  Values<'start'>['topology'],
  Topology
>;
