// The common part of balancer and api: the addon's forwarder.
import { loadNative } from '../addon.js';
import { invalid } from '../errors.js';
import type { NativeForwarder } from '../native.js';
import { parseUpstream, rootedAddress } from '../options/kinds.js';
import type { Weighted, WeightedAddress } from '../options/kinds.js';
import type { ServiceValues } from '../options/table.js';

/** One upstream with its weight, from text or an object. Throws ERR_ESPORA_INVALID. */
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

/** The addon's forwarder for checked options; `name` is used if they have none. */
export function createForwarder(
  options: ServiceValues<'balancer'> | ServiceValues<'api'>,
  name: string,
  upstreams: readonly string[],
): NativeForwarder {
  return new (loadNative().Forwarder)({
    ...options,
    name: options.name ?? name,
    upstreams: upstreams.map(readUpstream),
  });
}
