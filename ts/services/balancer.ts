// The balancer: layer 4, exact round robin per connection over its upstreams.
import { EsporaError } from '../errors.js';
import type { NativeForwarderStats } from '../native.js';
import type { ServiceInput } from '../options/table.js';
import { createForwarder } from './forwarder.js';
import { Service } from './service.js';
import type { Listening } from './service.js';

/** Options of a Balancer; `upstreams` is required. */
export type BalancerOptions = ServiceInput<'balancer'>;

/** Counters of a Balancer. */
export type BalancerStats = NativeForwarderStats;

/** Forwards each connection to the next of its upstreams, to the one after that if it refuses. */
export class Balancer extends Service<'balancer', Listening, BalancerStats> {
  constructor(options: BalancerOptions) {
    super('balancer', options, (checked, onEvent) => {
      const { upstreams } = checked;
      if (upstreams === undefined) {
        throw new EsporaError(
          'ERR_ESPORA_INVALID',
          'the balancer has nowhere to forward to: give --upstreams, UPSTREAMS or the option upstreams',
        );
      }
      return createForwarder(checked, { name: 'balancer', upstreams }, onEvent);
    });
  }
}
