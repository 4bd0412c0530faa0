// The log of the disk whose power is cut, and what may survive a cut.
import test from 'ava';
import { Random } from '#espora/lab/random.js';
import { chooseCuts, lastFlushBefore, parseLog, survivors } from './power-log.js';

function entry(type: number, timeNs: bigint, offset: number, bytes: Buffer): Buffer {
  const header = Buffer.alloc(32);
  header.writeUInt32LE(0x474c5750, 0);
  header.writeUInt32LE(type, 4);
  header.writeBigUInt64LE(timeNs, 8);
  header.writeBigUInt64LE(BigInt(offset), 16);
  header.writeBigUInt64LE(BigInt(bytes.length), 24);
  return Buffer.concat([header, bytes]);
}

const block = Buffer.concat([1, 2, 3, 4].map((value) => Buffer.alloc(512, value)));
const log = Buffer.concat([entry(1, 5n, 4096, block), entry(2, 6n, 0, Buffer.alloc(0))]);

test('writes and flushes, in order', (t) => {
  t.deepEqual(parseLog(log), [
    { kind: 'write', timeNs: 5n, offset: 4096, bytes: block },
    { kind: 'flush', timeNs: 6n, offset: 0, bytes: Buffer.alloc(0) },
  ]);
});

test('what is no log, or ends in the middle of an entry, is refused', (t) => {
  t.throws(() => parseLog(log.subarray(1)), { message: /at byte 0/ });
  for (const length of [10, 40, log.length - 5]) {
    t.throws(() => parseLog(log.subarray(0, length)), undefined, String(length));
  }
});

test('the last flush before a cut', (t) => {
  const entries = parseLog(Buffer.concat([log, log]));
  t.deepEqual(
    [0, 1, 2, 3, 4].map((cut) => lastFlushBefore(entries, cut)),
    [-1, -1, 1, 1, 3],
  );
});

test('each sector survives by itself, none of them changed', (t) => {
  const writes = parseLog(log).slice(0, 1);
  const random = new Random(1);
  t.deepEqual(survivors(writes, 0, random), []);
  t.deepEqual(survivors(writes, 1000, random), [{ offset: 4096, bytes: block }]);
  const seen = new Set<string>();
  for (let round = 0; round < 500; round++) {
    const kept = [0, 0, 0, 0];
    for (const { offset, bytes } of survivors(writes, 500, random)) {
      for (let at = 0; at < bytes.length; at += 512) {
        const sector = (offset - 4096 + at) / 512;
        kept[sector] = 1;
        t.deepEqual(bytes.subarray(at, at + 512), block.subarray(sector * 512, sector * 512 + 512));
      }
    }
    seen.add(kept.join(''));
  }
  t.is(seen.size, 16, 'every subset comes');
});

test('a place that is whole survives or not, and the sectors around it by themselves', (t) => {
  const writes = parseLog(log).slice(0, 1);
  const random = new Random(1);
  const seen = new Set<string>();
  for (let round = 0; round < 500; round++) {
    const kept = [0, 0, 0, 0];
    const whole = [{ from: 4096 + 512, to: 4096 + 1536 }];
    for (const { offset, bytes } of survivors(writes, 500, random, whole)) {
      kept.fill(1, (offset - 4096) / 512, (offset - 4096 + bytes.length) / 512);
    }
    seen.add(kept.join(''));
  }
  t.deepEqual([...seen].sort(), ['0000', '0001', '0110', '0111', '1000', '1001', '1110', '1111']);
});

test('cuts come everywhere, and where several writes were under way more often', (t) => {
  const write = log.subarray(0, log.length - 32);
  const flush = log.subarray(log.length - 32);
  const entries = parseLog(
    Buffer.concat([...Array.from({ length: 40 }, () => log), write, write, write, flush, log]),
  );
  const cuts = chooseCuts(entries, 2000, new Random(1));
  t.is(cuts.length, 2000);
  t.deepEqual(
    cuts,
    cuts.toSorted((a, b) => a - b),
  );
  t.true(cuts[0]! >= 1 && cuts.at(-1)! < entries.length);
  t.is(new Set(cuts).size, entries.length - 1);
  t.true(cuts.filter((cut) => cut > 80 && cut <= 83).length > 900);
});
