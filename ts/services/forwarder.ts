// What balancer and api have in common: the addon's forwarder, and where it says it listens.
import { loadNative } from '../native.js';
import type { NativeEventHandler, NativeForwarderStats } from '../native.js';
import type { ServiceValues } from '../options/table.js';
import { listeningOf, nativeListen } from './service.js';
import type { Listening, NativeService } from './service.js';

/** The addon's forwarder for checked options. */
export function createForwarder(
  options: ServiceValues<'balancer'> | ServiceValues<'api'>,
  setup: { readonly name: string; readonly upstreams: readonly string[] },
  onEvent: NativeEventHandler,
): NativeService<Listening, NativeForwarderStats> {
  const native = new (loadNative().Forwarder)(
    {
      listen: nativeListen(options),
      upstreams: [...setup.upstreams],
      name: options.name ?? setup.name,
      connectTimeoutMs: options.connectTimeout,
      idleTimeoutMs: options.idleTimeout,
      halfCloseTimeoutMs: options.halfCloseTimeout,
      connectionsMax: options.connectionsMax,
    },
    onEvent,
  );
  return {
    start: async () => listeningOf(await native.start()),
    stop: (drainMs) => native.stop(drainMs),
    stats: () => native.stats(),
  };
}
