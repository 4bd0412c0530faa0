// The balancer: layer 4, one of its upstreams for each connection, usable in front of any service.
import { asJson, shown } from '../shown.js';
import { invalid, toEsporaError } from '../errors.js';
import type { NativeForwarderStats, UpstreamHealth, UpstreamState } from '../native.js';
import { count, rootedAddress, weightMax } from '../options/kinds.js';
import type { WeightedAddress } from '../options/kinds.js';
import { flattenOptions } from '../options/groups.js';
import type { Grouped } from '../options/groups.js';
import { createForwarder, readUpstream } from './forwarder.js';
import type { Forwarder } from './forwarder.js';
import { Service } from './service.js';
import type { Listening, StopOptions } from './service.js';

/**
 * Options of a Balancer; `upstreams` is required. Each may be given by its name in the table of
 * options or in its group: `ejectAfter: 3` and `health: { ejectAfter: 3 }` are the same.
 */
export type BalancerOptions = Grouped<'balancer'>;

/** Counters of a Balancer. */
export type BalancerStats = NativeForwarderStats;

/** What the event `upstream` says: the state or the health of an upstream is another. */
export interface UpstreamChange {
  readonly address: string;
  readonly state: UpstreamState;
  readonly health: UpstreamHealth;
  /** Why, as one clause. */
  readonly reason: string;
}

/** What `setUpstream` changes. */
export interface UpstreamUpdate {
  readonly state?: UpstreamState | undefined;
  /** 1 to 1000. */
  readonly weight?: number | undefined;
}

const states: readonly string[] = ['up', 'draining', 'down'] satisfies UpstreamState[];
const weightKind = count({ min: 1, max: weightMax });

/** The address by which the addon knows an upstream. */
function addressOf(address: unknown): string {
  if (typeof address === 'string') return rootedAddress(address);
  throw invalid(`an upstream is named by its address, a string, not ${shown(address)}`);
}

/** The same change with nothing in it that cannot be right. Throws ERR_ESPORA_INVALID. */
export function readUpdate(update: UpstreamUpdate): { state?: UpstreamState; weight?: number } {
  if (typeof update !== 'object' || (update as unknown) === null) {
    throw invalid('what changes must be an object with state or weight');
  }
  const { state, weight, ...others } = update;
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined) {
    throw invalid(`an upstream has no ${unknown} that could be set: give state or weight`);
  }
  if (state === undefined && weight === undefined) {
    throw invalid('nothing to change: give a state or a weight');
  }
  if (state !== undefined && !states.includes(state)) {
    throw invalid(`state is ${asJson(state)}: it must be up, draining or down`);
  }
  if (weight !== undefined && !weightKind.schema.safeParse(weight).success) {
    throw invalid(`weight is ${asJson(weight)}: it must be ${weightKind.expected}`);
  }
  return {
    ...(state === undefined ? {} : { state }),
    ...(weight === undefined ? {} : { weight }),
  };
}

/**
 * Forwards each connection to one of its upstreams, to the next one if that refuses; takes those that
 * fail out of use and back in. Emits `upstream` with an UpstreamChange, `notice` and `warning` with a
 * sentence each.
 */
export class Balancer extends Service<'balancer', Listening, BalancerStats> {
  readonly #forwarder: Forwarder;

  constructor(options: BalancerOptions) {
    let forwarder: Forwarder | undefined;
    super('balancer', flattenOptions('balancer', options), (checked) => {
      const { upstreams } = checked;
      if (upstreams === undefined) {
        throw invalid(
          'the balancer has nowhere to forward to: give --upstreams, UPSTREAMS or the option upstreams',
        );
      }
      forwarder = createForwarder(checked, { name: 'balancer', upstreams });
      return forwarder;
    });
    this.#forwarder = forwarder!;
  }

  /**
   * Changes the state or the weight of an upstream; open connections stay. Rejects with
   * ERR_ESPORA_NOT_FOUND where there is none with that address, with _CLOSED unless it runs.
   */
  async setUpstream(address: string, update: UpstreamUpdate): Promise<void> {
    const checked = readUpdate(update);
    const of = addressOf(address);
    await this.#change(() => this.#forwarder.native.setUpstream(of, checked));
  }

  /** One more upstream, by address or with its weight; 256 are possible. */
  async addUpstream(upstream: string | WeightedAddress): Promise<void> {
    const checked = readUpstream(upstream);
    await this.#change(() => this.#forwarder.native.addUpstream(checked));
  }

  /** The upstream gets no further connections, and is forgotten with its last. */
  async removeUpstream(address: string): Promise<void> {
    const of = addressOf(address);
    await this.#change(() => this.#forwarder.native.removeUpstream(of));
  }

  /** Another name for `stop`: nothing new, and open connections get the time of `drain` to end. */
  drain(options: StopOptions = {}): Promise<void> {
    return this.stop(options);
  }

  async #change(change: () => Promise<void>): Promise<void> {
    try {
      await change();
    } catch (error) {
      throw toEsporaError(error);
    }
  }
}
