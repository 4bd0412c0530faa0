// Typed records: every kind of field at its ends, refusals that name the field, and the schema that
// the store keeps.
import test from 'ava';
import fc from 'fast-check';
import {
  bool,
  bytes,
  enumOf,
  f64,
  i16,
  i32,
  i64,
  i8,
  openStore,
  record,
  u16,
  u32,
  u64,
  u8,
  utf8,
} from '#espora/index.js';
import type { EsporaError, RecordOf, RecordType } from '#espora/index.js';
import { recordOfSchema } from '#espora/store/record.js';
import { Unit } from '#espora/store/unit.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const shape = {
  a: u8(),
  b: u16(),
  c: u32(),
  d: u64(),
  e: i8(),
  f: i16(),
  g: i32(),
  h: i64(),
  i: f64(),
  j: bool(),
  k: enumOf('c', 'd'),
  l: utf8(10),
  m: bytes(20),
};
const type = record(shape);
type Value = RecordOf<typeof shape>;

function roundTrip(value: Value): Value {
  const unit = new Unit();
  type.encode(unit, value);
  return type.decode(Buffer.from(unit.bytes.subarray(0, unit.at)));
}

const sample: Value = {
  a: 255,
  b: 65535,
  c: 4294967295,
  d: 2n ** 64n - 1n,
  e: -128,
  f: -32768,
  g: -2147483648,
  h: -(2n ** 63n),
  i: NaN,
  j: true,
  k: 'd',
  l: 'é😀日本語Ωçüß€',
  m: new Uint8Array([1, 2, 3]),
};

test('every kind of field keeps its value, at both ends', (t) => {
  t.deepEqual(roundTrip(sample), sample);
  const low: Value = {
    ...sample,
    a: 0,
    b: 0,
    c: 0,
    d: 0n,
    e: 127,
    f: 32767,
    g: 2147483647,
    h: 2n ** 63n - 1n,
    i: -Infinity,
    j: false,
    k: 'c',
    l: '',
    m: new Uint8Array(),
  };
  t.deepEqual(roundTrip(low), low);
});

test('a record that is cut, wherever, is corrupt', (t) => {
  const unit = new Unit();
  type.encode(unit, sample);
  const whole = Buffer.from(unit.bytes.subarray(0, unit.at));
  t.deepEqual(type.decode(whole), sample);
  for (let bytes = 0; bytes < whole.length; bytes++) {
    t.throws(
      () => type.decode(whole.subarray(0, bytes)),
      { code: 'ERR_ESPORA_CORRUPT' },
      `${bytes} of ${whole.length} bytes`,
    );
  }
});

test('the most bytes that a field says it takes are those of its largest value', (t) => {
  const largest: Value = { ...sample, l: '\u{10ffff}'.repeat(10), m: new Uint8Array(20).fill(255) };
  for (const name of Object.keys(shape) as (keyof typeof shape)[]) {
    const one = record({ [name]: shape[name] }) as unknown as RecordType<Record<string, unknown>>;
    const unit = new Unit();
    one.encode(unit, { [name]: largest[name] });
    t.is(unit.at, one.bytesMax, name);
  }
  const unit = new Unit();
  type.encode(unit, largest);
  t.is(unit.at, type.bytesMax);
});

test('any text of whole characters comes back', (t) => {
  const long = record({ text: utf8(300) });
  const unit = new Unit();
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-composite', maxLength: 60 }), (text) => {
      fc.pre([...text].length <= 300);
      unit.at = 0;
      long.encode(unit, { text });
      const stored = Buffer.from(unit.bytes.subarray(0, unit.at));
      t.is(long.decode(stored).text, text);
    }),
  );
});

for (const [field, value, expected] of [
  ['a', 256, 'an integer from 0 to 255, not 256'],
  ['a', 1.5, 'an integer from 0 to 255, not 1.5'],
  ['a', undefined, 'an integer from 0 to 255, not undefined'],
  ['d', 1, 'a bigint from 0n to 18446744073709551615n, not 1'],
  ['h', 2n ** 63n, 'a bigint from'],
  ['i', '1', 'a number, not "1"'],
  ['j', 1, 'true or false, not 1'],
  ['k', 'x', 'one of "c", "d", not "x"'],
  ['l', 'elevenchars', 'text of at most 10 characters'],
  ['l', '\ud800', 'without half of a surrogate pair'],
  ['l', 7, 'text of at most 10 characters, not 7'],
  ['m', new Uint8Array(21), 'a Uint8Array of at most 20 bytes'],
  ['m', [1], 'a Uint8Array of at most 20 bytes'],
] as const) {
  test(`field ${field} refuses ${String(value)}: ${expected}`, (t) => {
    const error = t.throws<EsporaError>(() => roundTrip({ ...sample, [field]: value }));
    t.is(error.code, 'ERR_ESPORA_INVALID');
    t.true(error.message.startsWith(`field ${field} must be `), error.message);
    t.true(error.message.includes(expected), error.message);
  });
}

test('unknown fields and what is no object are refused', (t) => {
  t.throws(() => roundTrip({ ...sample, extra: 1 } as never), {
    message: 'the record has no field extra',
  });
  t.throws(() => roundTrip(null as never), { message: /object/ });
});

test('wrong types are refused when they are made', (t) => {
  t.throws(() => record({}), { message: /at least one field/ });
  t.throws(() => record({ 'a b': u8() }), { message: /a field's name/ });
  t.throws(() => record({ a: u8(), 'b-c': u8() }), { message: /a field's name/ });
  t.throws(() => record({ a: 7 as never }), { message: /field a must be one of/ });
  t.throws(() => record({ a: u8(), b: 7 as never }), { message: /field b must be one of/ });
  t.throws(() => utf8(0), { message: /from 1 to/ });
  t.throws(() => bytes(1.5), { message: /from 1 to/ });
  t.throws(() => enumOf('a', 'a'), { message: /different/ });
  t.throws(() => record({ a: bytes(1_000_000), b: bytes(1_000_000) }), { message: /at most/ });
});

test('the schema is canonical, and describes the type', (t) => {
  t.is(
    record({ account: u32(), kind: enumOf('c', 'd'), note: utf8(10) }).schema,
    '{"fields":[["account","u32"],["kind",{"enum":["c","d"]}],["note",{"utf8":10}]]}',
  );
  t.is(recordOfSchema(type.schema).schema, type.schema);
  t.throws(() => recordOfSchema('{"fields":[["a","u128"]]}'), { code: 'ERR_ESPORA_VERSION' });
});

test('a typed store: values come back; another schema, or none, is refused', async (t) => {
  const directory = temporaryDirectory(t);
  const store = await openStore(directory, { record: type, segmentBytes: 1 << 20 });
  t.is((await store.append(sample)).seq, 1);
  await t.throwsAsync(store.appendBatch([sample, { ...sample, a: -1 }]), { message: /field a/ });
  t.is((await store.appendBatch([sample, sample])).lastSeq, 3);
  t.deepEqual((await store.get(3))!.value, sample);
  await store.close();
  await t.throwsAsync(openStore(directory, { record: record({ a: u8() }) }), {
    code: 'ERR_ESPORA_INVALID',
    message: /schema/,
  });
  await t.throwsAsync(openStore(directory), { code: 'ERR_ESPORA_INVALID', message: /"records"/ });
});
