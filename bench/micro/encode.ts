// A ledger entry becomes a record in a batch's buffer.

import { loadAddon } from '../lib/addon.js';
import { fingerprintOf } from './fingerprint.js';
import { RecordEncoder } from './javascript/record-encoder.js';
import type { Case, MicroTrial, Variant } from './micro-trial.js';
import { operations, operationsReport, perSecond, timed } from './operations.js';
import type { Entry } from './workload.js';
import { entries, entriesBeyondAscii } from './workload.js';

const batchBytes = 64 * 1024;

const cases: Case[] = [
  { name: 'ascii', title: 'description of 10 ASCII characters' },
  { name: 'utf8', title: 'description of 10 characters, 4 beyond ASCII' },
];

const entriesOf = (caseName: string): readonly Entry[] =>
  caseName === 'ascii' ? entries : entriesBeyondAscii;

const variants: Variant[] = [
  {
    name: 'javascript',
    title: 'JavaScript',
    prepare(caseName) {
      const pool = entriesOf(caseName);
      const batch = Buffer.alloc(batchBytes);
      const encoder = new RecordEncoder(batch);
      for (const entry of pool) encoder.append(entry);
      const loop = (iterations: number): void => {
        for (let i = 0; i < iterations; i++) encoder.append(pool[i & 0xff]!);
      };
      return operations(fingerprintOf(batch), timed(loop));
    },
  },
  {
    name: 'call',
    title: 'native, one by one',
    prepare(caseName) {
      const pool = entriesOf(caseName);
      const batch = Buffer.alloc(batchBytes);
      const trial = new (loadAddon().EncodeTrial)(batch, pool);
      const one = (entry: Entry): number =>
        trial.one(
          entry.account,
          entry.credit,
          entry.amount,
          entry.balance,
          entry.time,
          entry.description,
        );
      for (const entry of pool) one(entry);
      const loop = (iterations: number): void => {
        for (let i = 0; i < iterations; i++) one(pool[i & 0xff]!);
      };
      return operations(fingerprintOf(batch), timed(loop));
    },
  },
  {
    name: 'native',
    title: 'native, data plane',
    prepare(caseName) {
      const pool = entriesOf(caseName);
      const batch = Buffer.alloc(batchBytes);
      const trial = new (loadAddon().EncodeTrial)(batch, pool);
      trial.loop(pool.length);
      return operations(fingerprintOf(batch), (iterations) => trial.loop(iterations));
    },
  },
];

export const encode: MicroTrial = {
  name: 'encode',
  title: 'a ledger entry becomes a record in a batch',
  cases,
  variants,
  report: operationsReport(
    { cases, variants },
    {
      references: [{ variant: 'javascript', title: 'JavaScript' }],
      rate: perSecond,
      notes: [],
    },
  ),
};
