// A ledger entry becomes a record in a batch's buffer.

import { loadAddon } from '../lib/addon.js';
import { RecordEncoder } from './javascript/record-encoder.js';
import type { Variant } from './micro-trial.js';
import { fingerprintOf, looped, operations, operationsTrial, variantsOf } from './operations.js';
import type { Loop } from './operations.js';
import type { Entry } from './workload.js';
import { entries, entriesBeyondAscii } from './workload.js';

const batchBytes = 64 * 1024;

/** The fingerprint is the batch after the pool was encoded once. */
const encoded =
  (loopInto: (batch: Buffer, pool: readonly Entry[]) => Loop): Variant['prepare'] =>
  (caseName) => {
    const pool = caseName === 'ascii' ? entries : entriesBeyondAscii;
    const batch = Buffer.alloc(batchBytes);
    const loop = loopInto(batch, pool);
    loop(pool.length);
    return operations(fingerprintOf(batch), loop);
  };

export const encode = operationsTrial({
  name: 'encode',
  title: 'a ledger entry becomes a record in a batch',
  cases: {
    ascii: 'description of 10 ASCII characters',
    utf8: 'description of 10 characters, 4 beyond ASCII',
  },
  variants: variantsOf({
    javascript: encoded((batch, pool) => {
      const encoder = new RecordEncoder(batch);
      return looped(pool, (entry) => encoder.append(entry));
    }),
    call: encoded((batch, pool) => {
      const trial = new (loadAddon().EncodeTrial)(batch, pool);
      return looped(pool, ({ account, credit, amount, balance, time, description }) =>
        trial.one(account, credit, amount, time, description, balance),
      );
    }),
    native: encoded((batch, pool) => {
      const trial = new (loadAddon().EncodeTrial)(batch, pool);
      return (iterations) => trial.loop(iterations);
    }),
  }),
});
