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
export { openStore, Store } from './store/store.js';
export type {
  Appended,
  AppendedBatch,
  Backup,
  StoreOptions,
  StoreStats,
  Sync,
  VerifyReport,
} from './store/store.js';
export type { ReadRange, Row } from './store/rows.js';
export {
  bool,
  bytes,
  enumOf,
  f64,
  i16,
  i32,
  i64,
  i8,
  record,
  u16,
  u32,
  u64,
  u8,
  utf8,
} from './store/record.js';
export type { Field, FieldSchema, RecordOf, RecordShape, RecordType } from './store/record.js';
export { EsporaError, errorTable } from './errors.js';
export type { ErrorCode, ErrorRow } from './errors.js';
