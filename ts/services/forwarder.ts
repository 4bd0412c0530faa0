// What balancer and api have in common: the addon's forwarder, and where it says it listens.
import { EsporaError } from '../errors.js';
import { loadNative } from '../native.js';
import type { NativeForwarder, NativeForwarderStats } from '../native.js';
import { parseUpstream, rootedAddress } from '../options/kinds.js';
import type { Weighted, WeightedAddress } from '../options/kinds.js';
import { optionTable } from '../options/table.js';
import type { ServiceValues } from '../options/table.js';
import { listeningOf, nativeListen } from './service.js';
import type { Listening, NativeService } from './service.js';

/** What `createForwarder` makes: a service, and the changes that are possible while it runs. */
export interface Forwarder extends NativeService<Listening, NativeForwarderStats> {
  readonly native: NativeForwarder;
}

/** Settings that only a balancer has; an api has one upstream, and nobody to prefer to it. */
type BalancerOnly = Pick<
  ServiceValues<'balancer'>,
  | 'balance'
  | 'upstreamConnectionsMax'
  | 'ejectAfter'
  | 'ejectWindow'
  | 'ejectSilence'
  | 'ejectTime'
  | 'ejectTimeMax'
  | 'readmitAfter'
  | 'healthCheck'
  | 'healthInterval'
  | 'healthTimeout'
  | 'healthPath'
  | 'healthHost'
  | 'healthStatus'
  | 'healthFall'
  | 'healthRise'
>;

const forOneUpstream: BalancerOnly = Object.freeze({
  balance: 'round-robin',
  upstreamConnectionsMax: 0,
  ejectAfter: 0,
  ejectWindow: optionTable.ejectWindow.default,
  ejectSilence: 0,
  ejectTime: optionTable.ejectTime.default,
  ejectTimeMax: optionTable.ejectTimeMax.default,
  readmitAfter: optionTable.readmitAfter.default,
  healthCheck: 'off',
  healthInterval: optionTable.healthInterval.default,
  healthTimeout: optionTable.healthTimeout.default,
  healthPath: optionTable.healthPath.default,
  healthHost: undefined,
  healthStatus: optionTable.healthStatus.default,
  healthFall: optionTable.healthFall.default,
  healthRise: optionTable.healthRise.default,
});

/** One upstream with its weight, from text or parts. Throws ERR_ESPORA_INVALID. */
export function readUpstream(given: string | WeightedAddress): Weighted {
  const { address, weight } =
    typeof given === 'string'
      ? { address: given, weight: undefined }
      : ((given as WeightedAddress | null | undefined) ?? { address: undefined });
  if (typeof address !== 'string' || (weight !== undefined && typeof weight !== 'number')) {
    throw new EsporaError(
      'ERR_ESPORA_INVALID',
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
  throw new EsporaError(
    'ERR_ESPORA_INVALID',
    `the upstream is ${JSON.stringify(text)}: ${problem}`,
  );
}

/** The addon's forwarder for checked options. */
export function createForwarder(
  options: ServiceValues<'balancer'> | ServiceValues<'api'>,
  setup: { readonly name: string; readonly upstreams: readonly string[] },
): Forwarder {
  const own: BalancerOnly = 'ejectAfter' in options ? options : forOneUpstream;
  const native = new (loadNative().Forwarder)({
    listen: nativeListen(options),
    upstreams: setup.upstreams.map(readUpstream),
    name: options.name ?? setup.name,
    balance: own.balance,
    upstreamConnectionsMax: own.upstreamConnectionsMax,
    mode: options.mode,
    connectTimeoutMs: options.connectTimeout,
    idleTimeoutMs: options.idleTimeout,
    halfCloseTimeoutMs: options.halfCloseTimeout,
    sessionTimeoutMs: options.sessionTimeout,
    connectionsMax: options.connectionsMax,
    resolveIntervalMs: options.resolveInterval,
    health: {
      ejectAfter: own.ejectAfter,
      ejectWindowMs: own.ejectWindow,
      ejectSilenceMs: own.ejectSilence,
      ejectTimeMs: own.ejectTime,
      ejectTimeMaxMs: own.ejectTimeMax,
      readmitAfter: own.readmitAfter,
      check: own.healthCheck,
      intervalMs: own.healthInterval,
      timeoutMs: own.healthTimeout,
      path: own.healthPath,
      ...(own.healthHost === undefined ? {} : { host: own.healthHost }),
      statusMin: own.healthStatus.min,
      statusMax: own.healthStatus.max,
      fall: own.healthFall,
      rise: own.healthRise,
    },
    proxyProtocol: {
      from: [...(options.proxyProtocolFrom ?? [])],
      send: options.proxyProtocolSend === 'v2',
    },
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
