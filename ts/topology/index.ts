// The topologies by name, which are the values of the option `topology`.
import type { Values } from '../options/table.js';
import { handoff } from './handoff.js';
import { relay } from './relay.js';
import { single } from './single.js';
import type { Topology } from './topology.js';

export const topologies = Object.freeze({ relay, handoff, single }) satisfies Record<
  Values<'start'>['topology'],
  Topology
>;
