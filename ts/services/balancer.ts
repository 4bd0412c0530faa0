// The balancer: gives each connection to one of its upstreams; works in front of any stream service.
import { asJson, shown } from '../shown.js';
import { callAddon, invalid } from '../errors.js';
import type { NativeForwarder, NativeForwarderStats, UpstreamState } from '../native.js';
import { count, rootedAddress, weightMax, type WeightedAddress } from '../options/kinds.js';
import { flattenOptions, type Grouped } from '../options/groups.js';
import { createForwarder, readUpstream } from './forwarder.js';
import { Service, type Listening, type StopOptions, type UpstreamChange } from './service.js';

export type { UpstreamChange };

/**
 * Options of a Balancer; `upstreams` is required. Each may be given by its name in the table of
 * options or in its group: `ejectAfter: 3` and `health: { ejectAfter: 3 }` are the same.
 */
export type BalancerOptions = Grouped<'balancer'>;

export type BalancerStats = NativeForwarderStats;

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

/** The change, checked. Throws ERR_ESPORA_INVALID. */
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
 * Forwards each connection to one of its upstreams, and to the next one if that refuses it; takes failing
 * upstreams out of use and recovered ones back. Emits `upstream` with an UpstreamChange, and `notice` and
 * `warning` with a sentence.
 */
export class Balancer extends Service<'balancer', Listening, BalancerStats> {
  readonly #forwarder: NativeForwarder;

  constructor(options: BalancerOptions) {
    let forwarder: NativeForwarder | undefined;
    super('balancer', flattenOptions('balancer', options), (checked) => {
      const { upstreams } = checked;
      if (upstreams === undefined) {
        throw invalid(
          'the balancer has nowhere to forward to: give --upstreams, UPSTREAMS or the option upstreams',
        );
      }
      forwarder = createForwarder(checked, 'balancer', upstreams);
      return forwarder;
    });
    this.#forwarder = forwarder!;
  }

  /**
   * Changes the state or the weight of an upstream; open connections stay. Rejects with
   * ERR_ESPORA_NOT_FOUND if no upstream has that address, and with _CLOSED unless the balancer runs.
   */
  async setUpstream(address: string, update: UpstreamUpdate): Promise<void> {
    const checked = readUpdate(update);
    const of = addressOf(address);
    await callAddon(() => this.#forwarder.setUpstream(of, checked));
  }

  /** Adds an upstream, by address or with its weight; 256 are possible. */
  async addUpstream(upstream: string | WeightedAddress): Promise<void> {
    const checked = readUpstream(upstream);
    await callAddon(() => this.#forwarder.addUpstream(checked));
  }

  /** Removes an upstream: it gets no further connections, and is forgotten when its last one ends. */
  async removeUpstream(address: string): Promise<void> {
    const of = addressOf(address);
    await callAddon(() => this.#forwarder.removeUpstream(of));
  }

  /** Another name for `stop`. */
  drain(options: StopOptions = {}): Promise<void> {
    return this.stop(options);
  }
}
