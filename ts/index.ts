// The public surface of the package.
export { Api } from './services/api.js';
export type { ApiOptions, ApiStats } from './services/api.js';
export { Balancer } from './services/balancer.js';
export type {
  BalancerOptions,
  BalancerStats,
  UpstreamChange,
  UpstreamUpdate,
} from './services/balancer.js';
export type { UpstreamHealth, UpstreamState } from './native.js';
export type { WeightedAddress } from './options/kinds.js';
export { Database } from './services/database.js';
export type { DatabaseOptions, DatabaseStarted, DatabaseStats } from './services/database.js';
export type { Listening, Started, StopOptions, StoreOpened } from './services/service.js';
export type { Account } from './options/accounts.js';
export { EsporaError, errorTable } from './errors.js';
export type { ErrorCode, ErrorRow } from './errors.js';
