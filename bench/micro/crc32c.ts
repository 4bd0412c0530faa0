// Checksums as the store needs them: of a frame's header, of a block, of a large batch.

import { loadAddon } from '../lib/addon.js';
import { crc32c as checksum } from './javascript/crc32c.js';
import type { Case, MicroTrial, Variant } from './micro-trial.js';
import { operations, operationsReport, timed } from './operations.js';

const sizes: Record<string, number> = { header: 56, block: 4096, batch: 256 * 1024 };
const cases: Case[] = [
  { name: 'header', title: '56 bytes (a frame header)' },
  { name: 'block', title: '4 KiB' },
  { name: 'batch', title: '256 KiB' },
];

/** Bytes that repeat in no power of two. */
const bytesOf = (caseName: string): Buffer =>
  Buffer.from(Uint8Array.from({ length: sizes[caseName]! }, (_, i) => (i * i + i * 31) % 251));

/** How often the checksum is taken of itself for the fingerprint. */
const passes = 3;
let sink = 0;

const variants: Variant[] = [
  {
    name: 'javascript',
    title: 'JavaScript',
    prepare(caseName) {
      const bytes = bytesOf(caseName);
      const loop = (iterations: number): void => {
        let crc = 0;
        for (let i = 0; i < iterations; i++) crc = checksum(bytes, crc);
        sink = crc;
      };
      loop(passes);
      return operations(String(sink), timed(loop));
    },
  },
  {
    name: 'call',
    title: 'native, one by one',
    prepare(caseName) {
      const bytes = bytesOf(caseName);
      const { ChecksumTrial } = loadAddon();
      const loop = (iterations: number): void => {
        let crc = 0;
        for (let i = 0; i < iterations; i++) crc = ChecksumTrial.one(bytes, crc);
        sink = crc;
      };
      loop(passes);
      return operations(String(sink), timed(loop));
    },
  },
  {
    name: 'native',
    title: 'native, data plane',
    prepare(caseName) {
      const trial = new (loadAddon().ChecksumTrial)(bytesOf(caseName));
      trial.loop(passes);
      return operations(String(trial.last), (iterations) => trial.loop(iterations));
    },
  },
  {
    name: 'native-table',
    title: 'native, without the instruction',
    prepare(caseName) {
      const trial = new (loadAddon().ChecksumTrial)(bytesOf(caseName));
      trial.tableLoop(passes);
      return operations(String(trial.last), (iterations) => trial.tableLoop(iterations));
    },
  },
];

export const crc32c: MicroTrial = {
  name: 'crc32c',
  title: 'CRC-32C, each seeded with the one before',
  cases,
  variants,
  report: operationsReport(
    { cases, variants },
    {
      references: [{ variant: 'javascript', title: 'JavaScript' }],
      rate: { title: 'GB/s', of: (ns, caseName) => sizes[caseName]! / ns },
      notes: [],
    },
  ),
};
