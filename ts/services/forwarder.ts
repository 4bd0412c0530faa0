// What balancer and api have in common: the addon's forwarder, and where it says it listens.
import { invalid } from '../errors.js';
import { loadNative } from '../native.js';
import type { NativeForwarder, NativeForwarderStats } from '../native.js';
import { parseUpstream, rootedAddress } from '../options/kinds.js';
import type { Weighted, WeightedAddress } from '../options/kinds.js';
import type { ServiceValues } from '../options/table.js';
import { listeningOf } from './service.js';
import type { Listening, NativeService } from './service.js';

/** What `createForwarder` makes: a service, and the changes that are possible while it runs. */
export interface Forwarder extends NativeService<Listening, NativeForwarderStats> {
  readonly native: NativeForwarder;
}

/** One upstream with its weight, from text or parts. Throws ERR_ESPORA_INVALID. */
export function readUpstream(given: string | WeightedAddress): Weighted {
  const { address, weight } =
    typeof given === 'string'
      ? { address: given, weight: undefined }
      : ((given as WeightedAddress | null | undefined) ?? { address: undefined });
  if (typeof address !== 'string' || (weight !== undefined && typeof weight !== 'number')) {
    throw invalid(
      'an upstream must be an address, or { address, weight } with a string and a number',
    );
  }
  const text = `${address}${weight === undefined ? '' : ` weight=${weight}`}`;
  const parsed = parseUpstream(text);
  if (parsed !== undefined && !('refused' in parsed)) {
    return { ...parsed, address: rootedAddress(parsed.address) };
  }
  const problem =
    parsed === undefined ? 'it must be host:port or a path with a slash' : parsed.refused;
  throw invalid(`the upstream is ${JSON.stringify(text)}: ${problem}`);
}

/** The addon's forwarder for checked options. */
export function createForwarder(
  options: ServiceValues<'balancer'> | ServiceValues<'api'>,
  setup: { readonly name: string; readonly upstreams: readonly string[] },
): Forwarder {
  const native = new (loadNative().Forwarder)({
    ...options,
    name: options.name ?? setup.name,
    upstreams: setup.upstreams.map(readUpstream),
  });
  return {
    native,
    start: async (onEvent) => listeningOf(await native.start(onEvent)),
    stop: (drainMs) => native.stop(drainMs),
    stats: () => native.stats(),
    settings: () => native.settings(),
    owesHeader: (address) => native.owesHeader(address),
  };
}
