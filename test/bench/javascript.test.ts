// What native code is compared with has to be right as well: the same results as the data plane on
// the workload (the run itself checks that), and the same refusals.

import test from 'ava';
import fc from 'fast-check';
import { crc32c } from '../../bench/micro/javascript/crc32c.js';
import { Ledger } from '../../bench/micro/javascript/ledger.js';
import { RecordEncoder } from '../../bench/micro/javascript/record-encoder.js';
import { RequestParser } from '../../bench/micro/javascript/request-parser.js';
import { readTransaction } from '../../bench/micro/javascript/transaction-reader.js';
import { balancedTransactions, bodies, gets, posts } from '../../bench/micro/workload.js';

/** One bit at a time: RFC 3720 B.4 as it is written. */
function crc32cByBits(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) !== 0 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

test('crc32c: the vectors of RFC 3720 B.4', (t) => {
  t.is(crc32c(new Uint8Array(32)), 0x8a9136aa);
  t.is(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  t.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  t.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
  t.is(crc32c(Buffer.from('123456789')), 0xe3069283);
});

test('crc32c: every length, every seed, and in parts', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), fc.nat(70), fc.nat(), (bytes, cut, seed) => {
      t.is(crc32c(bytes, seed), crc32cByBits(bytes, seed));
      t.is(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut))), crc32c(bytes));
    }),
  );
});

test('a record has the bytes of the format', (t) => {
  const batch = Buffer.alloc(64 * 1024, 0xee);
  const used = new RecordEncoder(batch).append({
    account: 5,
    credit: false,
    amount: 2 ** 53 - 1,
    balance: -1,
    time: 1_705_000_000_123_456,
    description: 'pão',
  });
  t.is(used, 48);
  const expected = Buffer.alloc(48);
  expected.writeUInt32LE(40, 0);
  expected.writeUInt16LE(1, 4);
  expected.writeUInt32LE(5, 8);
  expected.write('d', 12);
  expected[13] = 4;
  expected.writeBigInt64LE(2n ** 53n - 1n, 16);
  expected.writeBigInt64LE(-1n, 24);
  expected.writeBigUInt64LE(1_705_000_000_123_456n, 32);
  expected.write('pão', 40);
  t.deepEqual(batch.subarray(0, used), expected);
  t.is(batch[used], 0xee);
});

test('records begin again in front when the batch is full', (t) => {
  const batch = Buffer.alloc(100 * 8);
  const encoder = new RecordEncoder(batch);
  const entry = { account: 1, credit: true, amount: 1, balance: 1, time: 1, description: 'x' };
  const used = Array.from({ length: 18 }, () => encoder.append(entry));
  t.is(used[15], 16 * 48);
  t.is(used[16], 48);
});

test('the request parser: the parts of a request', (t) => {
  const parser = new RequestParser();
  const bytes = Buffer.from(
    'POST /a/b?c=d HTTP/1.1\r\nHOST: x\r\nContent-length:\t3 \r\nConnection: close\r\n\r\nabcrest',
  );
  t.true(parser.parse(bytes));
  t.is(bytes.toString('latin1', 0, parser.methodEnd), 'POST');
  t.is(bytes.toString('latin1', parser.pathBegin, parser.pathEnd), '/a/b');
  t.is(bytes.toString('latin1', parser.bodyBegin, parser.bodyEnd), 'abc');
  t.false(parser.keepAlive);
});

test('the request parser: no request that is cut or malformed', (t) => {
  const parser = new RequestParser();
  for (const message of [posts[0]!, gets[0]!]) {
    t.true(parser.parse(message));
    for (let end = 0; end < message.length; end++) {
      t.false(parser.parse(message.subarray(0, end)), `cut at ${end}`);
    }
  }
  for (const text of [
    'GET /x HTTP/1.1\r\n\r\n',
    'GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    'GET /x HTTP/2.0\r\nHost: a\r\n\r\n',
    'GET /x http/1.1\r\nHost: a\r\n\r\n',
    'GET x HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET  /x HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /x\u0001 HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /x#f HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /x HTTP/1.1\nHost: a\n\n',
    'GET /x HTTP/1.1\r\nHost : a\r\n\r\n',
    'GET /x HTTP/1.1\r\nHost: a\r\n b\r\n\r\n',
    'GET /x HTTP/1.1\r\nHost: a\u0000\r\n\r\n',
    'GET /x HTTP/1.1\r\nHost: a\rb\r\n\r\n',
    'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na',
    'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na',
    'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n',
    'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na',
    'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ]) {
    t.false(parser.parse(Buffer.from(text, 'latin1')), JSON.stringify(text));
  }
});

test('the reader of bodies: what is accepted, and what is not', (t) => {
  const read = (text: string) => readTransaction(Buffer.from(text));
  t.deepEqual(read('{"descricao":"pão 🍞","tipo":"d","valor":7,"x":[]}'), {
    credit: false,
    amount: 7,
    description: 'pão 🍞',
  });
  for (const body of bodies) t.truthy(readTransaction(body));
  t.truthy(read(`{"valor":1,"tipo":"c","descricao":"${'🍞'.repeat(10)}"}`));
  for (const text of [
    '',
    'x',
    '[]',
    'null',
    '{"valor":1.2,"tipo":"c","descricao":"x"}',
    '{"valor":0,"tipo":"c","descricao":"x"}',
    '{"valor":-1,"tipo":"c","descricao":"x"}',
    '{"valor":9007199254740992,"tipo":"c","descricao":"x"}',
    '{"valor":"1","tipo":"c","descricao":"x"}',
    '{"valor":1,"tipo":"x","descricao":"x"}',
    '{"valor":1,"tipo":"c","descricao":""}',
    '{"valor":1,"tipo":"c","descricao":null}',
    '{"valor":1,"tipo":"c","descricao":"12345678901"}',
    `{"valor":1,"tipo":"c","descricao":"${'🍞'.repeat(11)}"}`,
    '{"valor":1,"tipo":"c","descricao":"\\ud800"}',
    '{"valor":1,"tipo":"c","descricao":"\\udc00\\ud800"}',
    '{"valor":1,"tipo":"c"}',
  ]) {
    t.is(read(text), undefined, text);
  }
});

test('the ledger: limits, unknown accounts, and time that never goes back', (t) => {
  const ledger = new Ledger([{ id: 1, limit: 100 }]);
  const ask = (credit: boolean, amount: number, account = 1, now = 5) =>
    ledger.apply({ account, credit, amount, description: 'x' }, now);
  t.is(ask(false, 101), undefined);
  t.is(ask(false, 100)?.balance, -100);
  t.is(ask(false, 1), undefined);
  t.is(ask(true, 10, 2), undefined);
  t.is(ask(true, Number.MAX_SAFE_INTEGER)?.balance, Number.MAX_SAFE_INTEGER - 100);
  t.is(ask(true, 101), undefined);
  t.is(ask(true, 1, 1, 9)?.time, 9);
  t.is(ask(true, 1, 1, 3)?.time, 9);
  t.deepEqual(ledger.state(), [Number.MAX_SAFE_INTEGER - 98, 4]);
});

test('the workload can be repeated for ever', (t) => {
  const sums = new Map<number, number>();
  for (const { account, credit, amount } of balancedTransactions) {
    sums.set(account, (sums.get(account) ?? 0) + (credit ? amount : -amount));
  }
  t.deepEqual([...sums.values()], [0, 0, 0, 0, 0]);
  t.is(Math.log2(balancedTransactions.length) % 1, 0);
});
