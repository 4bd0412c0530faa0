// The api: accepts connections and forwards them to the database; has no state.
import { invalid } from '../errors.js';
import type { NativeForwarderStats } from '../native.js';
import type { ServiceInput } from '../options/table.js';
import { createForwarder } from './forwarder.js';
import { Service, type Listening } from './service.js';

/** Options of an Api; `db` is required. */
export type ApiOptions = ServiceInput<'api'>;

export type ApiStats = NativeForwarderStats;

/** Forwards each connection to the database. */
export class Api extends Service<'api', Listening, ApiStats> {
  constructor(options: ApiOptions) {
    super('api', options, (checked) => {
      const { db } = checked;
      if (db === undefined) {
        throw invalid('the api has nowhere to forward to: give --db, DB or the option db');
      }
      return createForwarder(checked, 'api', [db]);
    });
  }
}
