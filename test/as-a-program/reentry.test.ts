// Values, batches and options whose own code runs while the store takes them: whatever that code
// calls works or is refused, each append that was acknowledged is there under its number, and no
// promise is left unsettled.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { bytes, openStore, record, u32, utf8 } from '#espora/index.js';
import type { Appended, AppendedBatch, RecordType, Store, StoreOptions } from '#espora/index.js';
import { runProgram } from '#espora/lab/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const raw = (value: string): Uint8Array => Buffer.from(value);
const numbers = record({ n: u32(), note: utf8(10) });
type Numbers = { n: number; note: string };

async function open(t: ExecutionContext): Promise<Store<Numbers>> {
  const options = { record: numbers, segmentBytes: 1 << 20 };
  const store = await openStore(temporaryDirectory(t), options);
  t.teardown(() => store.close().catch(() => undefined));
  return store;
}

/** The notes of what is there after opening again. */
async function kept(store: Store<Numbers>): Promise<string[]> {
  await store.close();
  const again = await openStore(store.directory, { record: numbers });
  const found = [];
  for await (const { value } of again.read()) found.push(value.note);
  await again.close();
  return found;
}

let copies = 0;
type Act = (store: Store<Numbers>) => unknown;

/** Everything of a store that code of a value may call. */
const acts: Readonly<Record<string, Act>> = {
  append: (store) => store.append({ n: 0, note: 'inner' }),
  'append of a wrong value': (store) => store.append({ n: -1, note: 'inner' }),
  appendBatch: (store) => store.appendBatch([{ n: 0, note: 'inner' }]),
  'appendBatch of a generator that appends': (store) =>
    store.appendBatch(
      (function* () {
        yield { n: 0, note: 'inner' };
        void store.append({ n: 0, note: 'innermost' });
      })(),
    ),
  flush: (store) => store.flush(),
  close: (store) => store.close(),
  get: (store) => store.get(1),
  read: (store) => store.read().next(),
  verify: (store) => store.verify(),
  backup: (store) => store.backup(join(store.directory, `copy ${copies++}`)),
  stats: (store) => store.stats(),
  'the end of the process': (store) => store.closeAtExit(),
};

/** Values and batches of which one runs `act`, and what is appended with it under these notes. */
const carriers: Readonly<Record<string, (store: Store<Numbers>, act: () => void) => unknown>> = {
  getter: (store, act) =>
    store.append({
      n: 1,
      get note() {
        act();
        return 'outer';
      },
    }),
  'getter that throws': (store, act) =>
    store.append({
      n: 1,
      get note(): string {
        act();
        throw new Error('of the caller');
      },
    }),
  proxy: (store, act) =>
    store.append(
      new Proxy({ n: 1, note: 'outer' }, { ownKeys: (on) => (act(), Reflect.ownKeys(on)) }),
    ),
  generator: (store, act) =>
    store.appendBatch(
      (function* () {
        yield { n: 1, note: 'outer' };
        act();
        yield { n: 2, note: 'outer' };
      })(),
    ),
  'generator with a wrong value': (store, act) =>
    store.appendBatch(
      (function* () {
        yield { n: 1, note: 'outer' };
        act();
        yield 'bad' as never;
      })(),
    ),
  "iterator's return": (store, act) =>
    store.appendBatch({
      [Symbol.iterator]: () => ({
        next: () => ({ done: false, value: 7 as never }),
        return: () => (act(), { done: true, value: undefined }),
      }),
    }),
  'array with a getter': (store, act) => {
    const values = [{ n: 1, note: 'outer' }];
    Object.defineProperty(values, 1, {
      enumerable: true,
      get: () => (act(), { n: 2, note: 'outer' }),
    });
    return store.appendBatch(values);
  },
  'array with an iterator of its own': (store, act) => {
    class Values extends Array<Numbers> {
      override *[Symbol.iterator](): ArrayIterator<Numbers> {
        act();
        yield { n: 1, note: 'outer' };
      }
    }
    return store.appendBatch(new Values());
  },
  'proxy of an array': (store, act) =>
    store.appendBatch(
      new Proxy([{ n: 1, note: 'outer' }], {
        get: (on, name, self) => (act(), Reflect.get(on, name, self) as unknown),
      }),
    ),
  "record's encoder": (store, act) => {
    // A type that nobody made by record({ … }), where types are not checked.
    const encode = numbers.encode;
    return store.append({
      get n() {
        encode({} as never, new Proxy({ n: 1, note: '' }, { get: () => (act(), undefined) }));
        return 1;
      },
      note: 'outer',
    });
  },
};

for (const [carrier, append] of Object.entries(carriers)) {
  for (const [name, act] of Object.entries(acts)) {
    test(`${carrier} that calls ${name}`, async (t) => {
      const store = await open(t);
      const before = store.append({ n: 0, note: 'before' });
      const inner: unknown[] = [];
      const settled = Promise.allSettled([
        before,
        append(store, () => {
          if (inner.length === 3) return;
          inner.push(undefined);
          inner[inner.length - 1] = act(store);
        }),
        store.append({ n: 0, note: 'after' }),
      ]);
      const outcomes = [...(await settled), ...(await Promise.allSettled(inner))];
      t.true(inner.length > 0);
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') continue;
        const { code, definite, message } = outcome.reason as Record<string, unknown>;
        if (message === 'of the caller') continue;
        t.true(
          ['ERR_ESPORA_INVALID', 'ERR_ESPORA_CLOSED'].includes(code as string),
          String(message),
        );
        t.true(definite);
      }
      const notes = await kept(store);
      // What was acknowledged is where it was said to be.
      for (const [outcome, note] of [
        [outcomes[0], 'before'],
        [outcomes[1], 'outer'],
        [outcomes[2], 'after'],
        ...outcomes.slice(3).map((one) => [one, 'inner'] as const),
      ] as const) {
        if (outcome?.status !== 'fulfilled') continue;
        const value = outcome.value as Partial<Appended & AppendedBatch> | undefined;
        const first = value?.seq ?? value?.firstSeq;
        if (first === undefined || !('durable' in value!)) continue;
        for (let seq = first; seq <= (value.lastSeq ?? first); seq++) {
          t.is(notes[seq - 1], note, `${seq}`);
        }
      }
      const acknowledged = outcomes.filter(
        ({ status, ...rest }) =>
          status === 'fulfilled' &&
          typeof (rest as { value?: object }).value === 'object' &&
          'durable' in (rest as { value: object }).value,
      );
      t.true(notes.length >= acknowledged.length);
    });
  }
}

test('what was acknowledged while a batch failed keeps its number, and what follows settles', async (t) => {
  const store = await openStore(temporaryDirectory(t), { segmentBytes: 1 << 20 });
  let inner: Promise<Appended> | undefined;
  const batch = store.appendBatch(
    (function* () {
      yield raw('a');
      inner = store.append(raw('b'));
      yield 'bad' as never;
    })(),
  );
  await t.throwsAsync(batch, { code: 'ERR_ESPORA_INVALID' });
  t.is((await inner!).seq, 1);
  t.is((await store.append(raw('c'))).seq, 2);
  t.is(Buffer.from((await store.get(1))!.value).toString(), 'b');
  t.is(Buffer.from((await store.get(2))!.value).toString(), 'c');
  await store.close();
});

test('a generator that uses one buffer again: each record is what it was when it was yielded', async (t) => {
  const store = await openStore(temporaryDirectory(t), { segmentBytes: 1 << 20 });
  const one = Buffer.alloc(3);
  await store.appendBatch(
    (function* () {
      for (const letter of 'abc') yield one.fill(letter);
    })(),
  );
  const found = [];
  for await (const { value } of store.read()) found.push(Buffer.from(value).toString());
  t.deepEqual(found, ['aaa', 'bbb', 'ccc']);
  await store.close();
});

type Resizable = ArrayBuffer & { resize(bytes: number): void };

// Newer than the types that we compile with.
function resizable(bytes: number): Resizable {
  const Made = ArrayBuffer as unknown as new (
    bytes: number,
    options: { maxByteLength: number },
  ) => Resizable;
  return new Made(bytes, { maxByteLength: 64 });
}

/** What looks like bytes and is not, or is no more. */
function memories(): Readonly<Record<string, () => unknown>> {
  return {
    'an object with the prototype': () => Object.create(Uint8Array.prototype) as unknown,
    'a proxy of bytes': () => new Proxy(new Uint8Array(4), {}),
    'other elements': () => new Uint16Array(4),
    'a view of data': () => new DataView(new ArrayBuffer(4)),
    memory: () => new ArrayBuffer(4),
    'detached memory': () => {
      const value = new Uint8Array(4);
      structuredClone(value, { transfer: [value.buffer] });
      return value;
    },
    'memory that was cut': () => {
      const buffer = resizable(64);
      const value = new Uint8Array(buffer, 32, 16);
      buffer.resize(16);
      return value;
    },
  };
}

for (const [name, make] of Object.entries(memories())) {
  test(`${name} is refused, as a record and as a field`, async (t) => {
    const refused = { code: 'ERR_ESPORA_INVALID', message: /must be a Uint8Array/ };
    const store = await openStore(temporaryDirectory(t), { segmentBytes: 1 << 20 });
    await t.throwsAsync(store.append(make() as never), refused);
    await t.throwsAsync(store.appendBatch([raw('a'), make() as never]), refused);
    t.is((await store.append(new Uint8Array(0))).seq, 1);
    await store.close();
    const typed = await openStore(temporaryDirectory(t), {
      record: record({ a: bytes(10) }),
      segmentBytes: 1 << 20,
    });
    await t.throwsAsync(typed.append({ a: make() as never }), refused);
    t.is((await typed.append({ a: new Uint8Array(0) })).seq, 1);
    await typed.close();
  });
}

test('the length of bytes is the real one, and shared and resizable memory is taken as it is', async (t) => {
  class Lying extends Uint8Array {
    override get length(): number {
      return 7_000_000;
    }
  }
  const store = await openStore(temporaryDirectory(t), { segmentBytes: 1 << 20 });
  const memory = resizable(3);
  const growing = new Uint8Array(memory);
  memory.resize(5);
  for (const [value, length] of [
    [new Lying(3), 3],
    [new Uint8Array(new SharedArrayBuffer(4)), 4],
    [growing, 5],
  ] as const) {
    const { seq } = await store.append(value);
    t.is((await store.get(seq))!.value.length, length);
  }
  await store.close();
});

test('options are read once: what was checked is what is used', async (t) => {
  const twice = (first: unknown, second: unknown): (() => unknown) => {
    let asked = 0;
    return () => (asked++ === 0 ? first : second);
  };
  const options = {};
  for (const [name, get] of Object.entries({
    segmentBytes: twice(1 << 20, 5),
    pendingBytesMax: twice(1000, 'none'),
    create: twice(true, 7),
    sync: twice('always', { intervalMs: -1 }),
    record: twice(numbers, {}),
  })) {
    Object.defineProperty(options, name, { get, enumerable: true });
  }
  const store = await openStore(temporaryDirectory(t), options as StoreOptions);
  await store.append({ n: 1, note: 'a' } as never);
  t.is(store.stats().segmentBytes, 1 << 20);
  const range = {};
  Object.defineProperty(range, 'gte', { get: twice(1, 'x'), enumerable: true });
  Object.defineProperty(range, 'limit', { get: twice(1, -5), enumerable: true });
  Object.defineProperty(range, 'live', { get: twice(false, true), enumerable: true });
  let rows = 0;
  for await (const { seq } of store.read(range)) rows += seq;
  t.is(rows, 1);
  await store.close();
});

test('a value that cannot even be shown is refused with a sentence', async (t) => {
  const hostile = {
    toString: () => {
      throw new Error('shown');
    },
    [Symbol.toPrimitive]: () => {
      throw new Error('shown');
    },
  };
  const invalid = { code: 'ERR_ESPORA_INVALID' };
  const store = await open(t);
  for (const value of [hostile, Object.create(null) as unknown, Symbol('x'), 1n, () => 1]) {
    const given = value as never;
    await t.throwsAsync(store.append(given), invalid);
    await t.throwsAsync(store.append({ n: given, note: '' }), invalid);
    await t.throwsAsync(store.appendBatch([given]), invalid);
    await t.throwsAsync(store.get(given), invalid);
    t.throws(() => store.read({ gte: given }), invalid);
    t.throws(() => store.read({ live: given }), invalid);
    await t.throwsAsync(openStore(temporaryDirectory(t), { segmentBytes: given }), invalid);
    await t.throwsAsync(openStore(temporaryDirectory(t), { create: given }), invalid);
    t.throws(() => utf8(given), invalid);
  }
});

test('an encoder that writes what it may not is refused', async (t) => {
  for (const at of [NaN, -8, 0, 3.5, 1e9, Infinity]) {
    const type: RecordType<number> = {
      kind: 'bytes',
      schema: '',
      bytesMax: 8,
      encode: (to) => void (to.at = at),
      decode: () => 0,
    };
    const store = await openStore(temporaryDirectory(t), { record: type, segmentBytes: 1 << 20 });
    await t.throwsAsync(store.append(1), { code: 'ERR_ESPORA_INVALID' });
    await t.throwsAsync(store.appendBatch([1]), { code: 'ERR_ESPORA_INVALID' });
    await store.close();
  }
});

const fixture = fileURLToPath(new URL('../fixtures/store-reentry.js', import.meta.url));

for (const carrier of ['getter', 'generator', 'proxy']) {
  test(`a ${carrier} that ends the process: what was appended before is there`, async (t) => {
    const directory = temporaryDirectory(t);
    const { exitCode, stderr } = await runProgram(process.execPath, [fixture, carrier, directory]);
    t.is(exitCode, 7, stderr);
    const store = await openStore(directory, { record: numbers });
    const found = [];
    for await (const { value } of store.read()) found.push(value.note);
    t.deepEqual(found, ['before']);
    await store.close();
  });
}
