// Checksums as the store needs them: of a frame's header, of a block, of a large batch.

import { loadAddon } from '../lib/addon.js';
import { crc32c as checksum } from './javascript/crc32c.js';
import type { Variant } from './micro-trial.js';
import { operations, operationsTrial, timed, variantsOf } from './operations.js';

const sizes: Record<string, number> = { header: 56, block: 4096, batch: 256 * 1024 };

/** Bytes that repeat in no power of two. */
const bytesOf = (caseName: string): Buffer =>
  Buffer.from(Uint8Array.from({ length: sizes[caseName]! }, (_, i) => (i * i + i * 31) % 251));

/** How often the checksum is taken of itself for the fingerprint. */
const passes = 3;

const fromJavaScript =
  (load: () => (bytes: Uint8Array, seed: number) => number): Variant['prepare'] =>
  (caseName) => {
    const bytes = bytesOf(caseName);
    const one = load();
    let last = 0;
    const loop = timed((iterations) => {
      let crc = 0;
      for (let i = 0; i < iterations; i++) crc = one(bytes, crc);
      last = crc;
    });
    loop(passes);
    return operations(String(last), loop);
  };

const inside =
  (loop: 'loop' | 'tableLoop'): Variant['prepare'] =>
  (caseName) => {
    const trial = new (loadAddon().ChecksumTrial)(bytesOf(caseName));
    trial[loop](passes);
    return operations(String(trial.last), (iterations) => trial[loop](iterations));
  };

export const crc32c = operationsTrial({
  name: 'crc32c',
  title: 'CRC-32C, each seeded with the one before',
  cases: { header: '56 bytes (a frame header)', block: '4 KiB', batch: '256 KiB' },
  variants: [
    ...variantsOf({
      javascript: fromJavaScript(() => checksum),
      call: fromJavaScript(() => loadAddon().ChecksumTrial.one),
      native: inside('loop'),
    }),
    {
      name: 'native-table',
      title: 'native, without the instruction',
      prepare: inside('tableLoop'),
    },
  ],
  rate: { title: 'GB/s', of: (ns, caseName) => sizes[caseName]! / ns },
});
