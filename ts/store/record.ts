// Typed records: what a field may hold, how it is checked, and how it is encoded in a record's bytes.
// Fields follow each other in their order, little-endian, without gaps.
import type { Buffer } from 'node:buffer';
import { types } from 'node:util';
import { EsporaError, invalid } from '../errors.js';
import { shown } from '../shown.js';
import { recordBytesMax, type Unit } from './unit.js';

/** A position in the bytes of a record that is decoded. */
export interface Cursor {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at: number;
}

/** What one field of a record holds. Made by `u8()` … `bytes(n)`. */
export interface Field<T> {
  /** Its entry in the schema that the store keeps. */
  readonly schema: FieldSchema;
  /** Most bytes that a value takes. */
  readonly bytesMax: number;
  /** Checks `value` and writes it; throws an error that says what it must be. */
  readonly write: (to: Unit, value: T) => void;
  readonly read: (from: Cursor) => T;
}

/** How a field is written in a store's schema. */
export type FieldSchema =
  | string
  | { readonly enum: readonly string[] }
  | { readonly utf8: number }
  | { readonly bytes: number };

/** The fields of a record by name. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- fields of any type
export type RecordShape = Readonly<Record<string, Field<any>>>;

/** The values of a record with these fields. */
export type RecordOf<Shape extends RecordShape> = {
  -readonly [Name in keyof Shape]: Shape[Name] extends Field<infer T> ? T : never;
};

/** What is wrong with a value; the name of its field is put in front. */
class Refusal extends Error {}

function refuse(expected: string, value: unknown): never {
  throw new Refusal(`must be ${expected}, not ${shown(value)}`);
}

// Bytes from another realm have another prototype, so the prototype is not compared. The length is read
// with the getter of typed arrays, because an own property `length` could say anything.
const { isUint8Array } = types;
// eslint-disable-next-line @typescript-eslint/unbound-method -- called with the bytes as `this`
const lengthOf = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype) as object,
  'length',
)!.get as (this: Uint8Array) => number;

// Copies all `length` bytes of `value` to `at`.
function copyBytes(to: Unit, at: number, value: Uint8Array, length: number): void {
  try {
    to.bytes.set(value, at);
  } catch {
    const problem = 'must be a Uint8Array whose memory is there, not one that was detached or cut';
    throw new Refusal(problem);
  }
  // Another thread may grow shared memory during the copy; what lies behind `length` is overwritten.
  to.at = at + length;
}

// The error for the caller: a refusal gets the name of what was refused, other errors stay as they are.
function named(name: string, error: unknown): unknown {
  return error instanceof Refusal ? invalid(`${name} ${error.message}`) : error;
}

/** The bytes, the least and the greatest value of `u8` … `i64`. */
function integerOf(name: string) {
  const bits = Number(name.slice(1));
  const signed = name.startsWith('i');
  const max = 2n ** BigInt(signed ? bits - 1 : bits) - 1n;
  return { bytes: bits / 8, min: signed ? -max - 1n : 0n, max };
}

function integer(
  name: string,
  set: (view: DataView, at: number, value: number) => void,
  get: (view: DataView, at: number) => number,
): Field<number> {
  const { bytes, ...range } = integerOf(name);
  const [min, max] = [Number(range.min), Number(range.max)];
  const expected = `an integer from ${min} to ${max}`;
  return {
    schema: name,
    bytesMax: bytes,
    write(to, value) {
      if (!Number.isInteger(value) || value < min || value > max) refuse(expected, value);
      set(to.view, to.at, value);
      to.at += bytes;
    },
    read(from) {
      const value = get(from.view, from.at);
      from.at += bytes;
      return value;
    },
  };
}

function bigInteger(
  name: string,
  set: (view: DataView, at: number, value: bigint) => void,
  get: (view: DataView, at: number) => bigint,
): Field<bigint> {
  const { min, max } = integerOf(name);
  const expected = `a bigint from ${min}n to ${max}n`;
  return {
    schema: name,
    bytesMax: 8,
    write(to, value) {
      if (typeof value !== 'bigint' || value < min || value > max) refuse(expected, value);
      set(to.view, to.at, value);
      to.at += 8;
    },
    read(from) {
      const value = get(from.view, from.at);
      from.at += 8;
      return value;
    },
  };
}

/** An integer from 0 to 255. */
export const u8 = (): Field<number> =>
  integer(
    'u8',
    (view, at, value) => view.setUint8(at, value),
    (view, at) => view.getUint8(at),
  );
/** An integer from 0 to 65,535. */
export const u16 = (): Field<number> =>
  integer(
    'u16',
    (view, at, value) => view.setUint16(at, value, true),
    (view, at) => view.getUint16(at, true),
  );
/** An integer from 0 to 2^32-1. */
export const u32 = (): Field<number> =>
  integer(
    'u32',
    (view, at, value) => view.setUint32(at, value, true),
    (view, at) => view.getUint32(at, true),
  );
/** A bigint from 0 to 2^64-1. */
export const u64 = (): Field<bigint> =>
  bigInteger(
    'u64',
    (view, at, value) => view.setBigUint64(at, value, true),
    (view, at) => view.getBigUint64(at, true),
  );
/** An integer from -128 to 127. */
export const i8 = (): Field<number> =>
  integer(
    'i8',
    (view, at, value) => view.setInt8(at, value),
    (view, at) => view.getInt8(at),
  );
/** An integer from -32,768 to 32,767. */
export const i16 = (): Field<number> =>
  integer(
    'i16',
    (view, at, value) => view.setInt16(at, value, true),
    (view, at) => view.getInt16(at, true),
  );
/** An integer from -2^31 to 2^31-1. */
export const i32 = (): Field<number> =>
  integer(
    'i32',
    (view, at, value) => view.setInt32(at, value, true),
    (view, at) => view.getInt32(at, true),
  );
/** A bigint from -2^63 to 2^63-1. */
export const i64 = (): Field<bigint> =>
  bigInteger(
    'i64',
    (view, at, value) => view.setBigInt64(at, value, true),
    (view, at) => view.getBigInt64(at, true),
  );

/** Any number, NaN and the infinities included. */
export const f64 = (): Field<number> => ({
  schema: 'f64',
  bytesMax: 8,
  write(to, value) {
    if (typeof value !== 'number') refuse('a number', value);
    to.view.setFloat64(to.at, value, true);
    to.at += 8;
  },
  read(from) {
    const value = from.view.getFloat64(from.at, true);
    from.at += 8;
    return value;
  },
});

/** true or false. */
export const bool = (): Field<boolean> => ({
  schema: 'bool',
  bytesMax: 1,
  write(to, value) {
    if (typeof value !== 'boolean') refuse('true or false', value);
    to.view.setUint8(to.at++, value ? 1 : 0);
  },
  read: (from) => from.view.getUint8(from.at++) !== 0,
});

/** One of up to 256 strings; takes one byte. Their order is part of the schema. */
export function enumOf<const Values extends readonly [string, ...string[]]>(
  ...values: Values
): Field<Values[number]> {
  if (
    values.length === 0 ||
    values.length > 256 ||
    new Set(values).size !== values.length ||
    values.some((value) => typeof value !== 'string')
  ) {
    throw invalid('enumOf takes 1 to 256 strings, each a different one');
  }
  const codes = new Map<string, number>(values.map((value, code) => [value, code]));
  const expected = `one of ${values.map((value) => JSON.stringify(value)).join(', ')}`;
  return {
    schema: { enum: [...values] },
    bytesMax: 1,
    write(to, value) {
      const code = codes.get(value);
      if (code === undefined) refuse(expected, value);
      to.view.setUint8(to.at++, code);
    },
    read(from) {
      const value = values[from.view.getUint8(from.at++)];
      if (value === undefined) throw new Refusal('is no value of the schema');
      return value;
    },
  };
}

function atMost(name: string, max: number, limit: number): void {
  if (!Number.isInteger(max) || max < 1 || max > limit) {
    throw invalid(`${name} takes a whole number from 1 to ${limit}, not ${shown(max)}`);
  }
}

const loneSurrogate = /\p{Surrogate}/u;

/** Text of at most `charactersMax` code points; takes its UTF-8 bytes and 4 more. */
export function utf8(charactersMax: number): Field<string> {
  atMost('utf8', charactersMax, 200_000);
  const expected = `text of at most ${charactersMax} characters`;
  return {
    schema: { utf8: charactersMax },
    bytesMax: 4 + 4 * charactersMax,
    write(to, value) {
      if (typeof value !== 'string') refuse(expected, value);
      const { bytes, at } = to;
      const { length } = value;
      const start = at + 4;
      let count = 0;
      if (length <= charactersMax) {
        // Most texts are short and ASCII; for these the loop is faster than a call.
        for (; count < length && length <= 64; count++) {
          const unit = value.charCodeAt(count);
          if (unit > 0x7f) break;
          bytes[start + count] = unit;
        }
      }
      if (count < length || length > charactersMax) {
        if (length > 2 * charactersMax) refuse(expected, value);
        if (length > charactersMax && [...value].length > charactersMax) refuse(expected, value);
        if (loneSurrogate.test(value))
          refuse(`${expected} without half of a surrogate pair`, value);
        count = bytes.write(value, start, 'utf8');
      }
      to.view.setUint32(at, count, true);
      to.at = start + count;
    },
    read(from) {
      const start = from.at + 4;
      const end = start + from.view.getUint32(from.at, true);
      if (end > from.bytes.length) throw new Refusal('goes beyond its record');
      from.at = end;
      return (from.bytes as Buffer).toString('utf8', start, end);
    },
  };
}

/** At most `bytesMax` bytes; takes 4 more. */
export function bytes(bytesMax: number): Field<Uint8Array> {
  atMost('bytes', bytesMax, 1_000_000);
  const expected = `a Uint8Array of at most ${bytesMax} bytes`;
  return {
    schema: { bytes: bytesMax },
    bytesMax: 4 + bytesMax,
    write(to, value) {
      if (!isUint8Array(value)) refuse(expected, value);
      const length = lengthOf.call(value);
      if (length > bytesMax) refuse(expected, value);
      const { at } = to;
      to.view.setUint32(at, length, true);
      copyBytes(to, at + 4, value, length);
    },
    read(from) {
      const start = from.at + 4;
      const end = start + from.view.getUint32(from.at, true);
      if (end > from.bytes.length) throw new Refusal('goes beyond its record');
      from.at = end;
      return new Uint8Array(from.bytes.subarray(start, end));
    },
  };
}

/** How a store turns values of type T into a record's bytes and back. */
export interface RecordType<T> {
  /** The kind of records that the store holds; opening it with another kind or schema is refused. */
  readonly kind: 'bytes' | 'records';
  /** Canonical JSON; empty for raw bytes. */
  readonly schema: string;
  /** Most bytes that one record takes. */
  readonly bytesMax: number;
  /** Writes a record's bytes at `to.at`. Throws `ERR_ESPORA_INVALID`, naming the field. */
  readonly encode: (to: Unit, value: T) => void;
  readonly decode: (bytes: Buffer) => T;
}

/** Records that are plain bytes. */
export const rawRecord: RecordType<Uint8Array> = Object.freeze({
  kind: 'bytes',
  schema: '',
  bytesMax: recordBytesMax,
  encode(to: Unit, value: Uint8Array): void {
    if (!isUint8Array(value)) {
      throw invalid(`a record must be a Uint8Array, not ${shown(value)}`);
    }
    const length = lengthOf.call(value);
    if (length > recordBytesMax) {
      throw new EsporaError(
        'ERR_ESPORA_TOO_LARGE',
        `a record of ${length} bytes, at most ${recordBytesMax} are possible`,
      );
    }
    try {
      copyBytes(to, to.at, value, length);
    } catch (error) {
      throw named('a record', error);
    }
  },
  decode: (record: Buffer): Uint8Array =>
    new Uint8Array(record.buffer, record.byteOffset, record.length),
});

/**
 * A type of records with named fields. The store keeps its schema: names, kinds and order; opening
 * it with another one is refused.
 */
export function record<const Shape extends RecordShape>(shape: Shape): RecordType<RecordOf<Shape>> {
  const fields = Object.entries(shape);
  if (fields.length === 0) {
    throw invalid('a record needs at least one field');
  }
  for (const [name, field] of fields) {
    if (!/^[A-Za-z_$][\w$]*$/.test(name) || name === '__proto__') {
      throw invalid(`a field's name must be letters, digits and _, not ${JSON.stringify(name)}`);
    }
    if (typeof (field as Partial<Field<unknown>> | undefined)?.write !== 'function') {
      throw invalid(
        `field ${name} must be one of u8() … u64(), i8() … i64(), f64(), bool(), enumOf(…), utf8(n), bytes(n)`,
      );
    }
  }
  const bytesMax = fields.reduce((sum, [, field]) => sum + field.bytesMax, 0);
  if (bytesMax > recordBytesMax) {
    throw new EsporaError(
      'ERR_ESPORA_TOO_LARGE',
      `a record of up to ${bytesMax} bytes, at most ${recordBytesMax} are possible`,
    );
  }
  const names = fields.map(([name]) => name);
  const writers = fields.map(([, { write }]) => write as (to: Unit, value: unknown) => void);
  const readers = fields.map(([, { read }]) => read as (from: Cursor) => unknown);
  const known = new Set(names);
  const count = names.length;
  return Object.freeze({
    kind: 'records' as const,
    schema: JSON.stringify({ fields: fields.map(([name, { schema }]) => [name, schema]) }),
    bytesMax,
    encode(to: Unit, value: RecordOf<Shape>): void {
      if (typeof value !== 'object' || (value as unknown) === null) {
        throw invalid('a record must be an object');
      }
      const given = value as Readonly<Record<string, unknown>>;
      let index = 0;
      try {
        for (; index < count; index++) writers[index]!(to, given[names[index]!]);
      } catch (error) {
        throw named(`field ${names[index]!}`, error);
      }
      for (const name in given) {
        if (!known.has(name)) throw invalid(`the record has no field ${name}`);
      }
    },
    decode(record: Buffer): RecordOf<Shape> {
      const view = new DataView(record.buffer, record.byteOffset, record.length);
      const from: Cursor = { bytes: record, view, at: 0 };
      const value: Record<string, unknown> = {};
      try {
        for (let index = 0; index < count; index++) value[names[index]!] = readers[index]!(from);
      } catch {
        throw new EsporaError('ERR_ESPORA_CORRUPT', 'a record does not fit the schema');
      }
      return value as RecordOf<Shape>;
    },
  });
}

const simpleFields = { u8, u16, u32, u64, i8, i16, i32, i64, f64, bool };

/** The record type that a store's schema describes, for tools. Throws `ERR_ESPORA_VERSION`. */
export function recordOfSchema(schema: string): RecordType<Record<string, unknown>> {
  try {
    const { fields } = JSON.parse(schema) as { fields: [string, FieldSchema][] };
    return record(Object.fromEntries(fields.map(([name, field]) => [name, fieldOf(field)])));
  } catch (cause) {
    throw new EsporaError(
      'ERR_ESPORA_VERSION',
      `the store's schema is not one of this version: ${schema}`,
      { cause },
    );
  }
}

function fieldOf(schema: FieldSchema): Field<unknown> {
  if (typeof schema === 'string') {
    return simpleFields[schema as keyof typeof simpleFields]() as Field<unknown>;
  }
  if ('enum' in schema) {
    return enumOf(...(schema.enum as [string, ...string[]])) as Field<unknown>;
  }
  return ('utf8' in schema ? utf8(schema.utf8) : bytes(schema.bytes)) as Field<unknown>;
}
