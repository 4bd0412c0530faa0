// The library's store against the real disk: what resolves is there after opening again, in order,
// once; what is refused is not.
import { readdirSync } from 'node:fs';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { openStore } from '#espora/index.js';
import type { Appended, EsporaError, Row, Store, StoreOptions } from '#espora/index.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const text = (value: Uint8Array): string => Buffer.from(value).toString();
const raw = (value: string): Uint8Array => Buffer.from(value);
const small: StoreOptions = { segmentBytes: 1 << 20 };

async function open(t: ExecutionContext, options = small, at?: string): Promise<Store> {
  const store = await openStore(at ?? temporaryDirectory(t), options);
  t.teardown(() => store.close().catch(() => undefined));
  return store;
}

async function all<T>(rows: AsyncIterable<Row<T>>): Promise<Row<T>[]> {
  const found = [];
  for await (const row of rows) found.push(row);
  return found;
}

const codeOf = async (t: ExecutionContext, promise: Promise<unknown>): Promise<string> =>
  (await t.throwsAsync<EsporaError>(promise)).code;

test('what was appended is there, in order, also after opening again', async (t) => {
  const store = await open(t);
  const before = Date.now() * 1000;
  const first = await store.append(raw('one'));
  t.is(first.seq, 1);
  t.true(first.durable);
  t.true(first.time >= before && first.time <= Date.now() * 1000 + 1000);
  t.is(store.durableSeq, 1);
  const batch = await store.appendBatch([raw('two'), raw(''), raw('four')]);
  t.like(batch, { firstSeq: 2, lastSeq: 4, count: 3, durable: true });
  const { directory } = store;
  await store.close();

  const again = await open(t, {}, directory);
  t.is(again.durableSeq, 4);
  t.deepEqual(
    (await all(again.read())).map(({ seq, value }) => [seq, text(value)]),
    [
      [1, 'one'],
      [2, 'two'],
      [3, ''],
      [4, 'four'],
    ],
  );
  const row = await again.get(2);
  t.is(text(row!.value), 'two');
  t.is(row!.time, batch.time);
  t.is(await again.get(5), undefined);
  t.is((await again.append(raw('five'))).seq, 5);
  t.is(text((await again.get(5))!.value), 'five');
});

test('appends of one turn are one batch', async (t) => {
  const store = await open(t);
  const { batches } = store.stats();
  const done = await Promise.all(Array.from({ length: 100 }, (_, i) => store.append(raw(`${i}`))));
  t.deepEqual(
    done.map(({ seq }) => seq),
    Array.from({ length: 100 }, (_, i) => i + 1),
  );
  t.is(new Set(done.map(({ time }) => time)).size, 1);
  t.is(store.stats().batches - batches, 1);
});

test('what jobs of promises append later in the turn is in its batch, too', async (t) => {
  const store = await open(t);
  const { batches } = store.stats();
  const first = store.append(raw('first'));
  for (let jobs = 0; jobs < 10; jobs++) await Promise.resolve();
  const second = store.append(raw('second'));
  t.is((await second).time, (await first).time);
  t.is(store.stats().batches - batches, 1);
});

test('100,000 appends in one turn, over several segments', async (t) => {
  const store = await open(t);
  const promises: Promise<Appended>[] = [];
  for (let i = 1; i <= 100_000; i++) promises.push(store.append(raw(`record ${i}`)));
  t.is(store.stats().pending, 100_000);
  const done = await Promise.all(promises);
  t.true(done.every(({ seq }, i) => seq === i + 1));
  t.is(store.durableSeq, 100_000);
  t.like(store.stats(), { pending: 0, pendingBytes: 0 });
  let next = 1;
  for await (const { seq, value } of store.read()) {
    if (seq !== next || text(value) !== `record ${seq}`) t.fail(`sequence ${next}`);
    next += 1;
  }
  t.is(next, 100_001);
  for (const seq of [1, 2, 50_000, 77_777, 99_999, 100_000]) {
    t.is(text((await store.get(seq))!.value), `record ${seq}`);
  }
});

test('ranges, both directions, limits', async (t) => {
  const store = await open(t);
  for (let i = 0; i < 40; i++) {
    await store.appendBatch(Array.from({ length: 25 }, (_, j) => raw(`${25 * i + j + 1}`)));
  }
  const seqs = async (range: Parameters<Store['read']>[0]): Promise<number[]> =>
    (await all(store.read(range))).map(({ seq, value }) => {
      t.is(text(value), `${seq}`);
      return seq;
    });
  t.deepEqual(await seqs({ gt: 10, lt: 14 }), [11, 12, 13]);
  t.deepEqual(await seqs({ gte: 10, lte: 12 }), [10, 11, 12]);
  t.deepEqual(await seqs({ gte: 0, limit: 2 }), [1, 2]);
  t.deepEqual(await seqs({ reverse: true, limit: 3 }), [1000, 999, 998]);
  t.deepEqual(await seqs({ reverse: true, lt: 3 }), [2, 1]);
  t.deepEqual(await seqs({ reverse: true, gte: 999, lte: 5000 }), [1000, 999]);
  t.deepEqual(await seqs({ gt: 1000 }), []);
  t.deepEqual(await seqs({ lte: 0 }), []);
  t.deepEqual(await seqs({ limit: 0 }), []);
  const forward = await seqs({});
  t.is(forward.length, 1000);
  t.deepEqual(await seqs({ reverse: true }), forward.reverse());
});

test('a live read goes on with what becomes durable, and ends by its signal', async (t) => {
  const store = await open(t);
  await store.append(raw('1'));
  const controller = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { seq, value } of store.read({ live: true, signal: controller.signal })) {
      t.true(seq <= store.durableSeq);
      seen.push(text(value));
      if (seen.length === 20) controller.abort(new Error('enough'));
    }
  })();
  for (let i = 2; i <= 20; i++) await store.append(raw(`${i}`));
  await t.throwsAsync(reading, { message: 'enough' });
  t.deepEqual(
    seen,
    Array.from({ length: 20 }, (_, i) => `${i + 1}`),
  );
});

test('closing ends a live read, and settles everything that was appended before', async (t) => {
  const store = await open(t);
  const reading = all(store.read({ live: true }));
  const appends = Array.from({ length: 5000 }, (_, i) => store.append(raw(`${i}`)));
  const flushed = store.flush();
  const closed = store.close();
  t.is(store.close(), closed);
  t.is(await codeOf(t, store.append(raw('late'))), 'ERR_ESPORA_CLOSED');
  t.true((await Promise.all(appends)).every(({ durable }) => durable));
  await flushed;
  await closed;
  t.true((await reading.catch(() => [])).length <= 5000);
  t.is(store.durableSeq, 5000);
  const again = await open(t, {}, store.directory);
  t.is((await all(again.read())).length, 5000);
});

test('a flush has everything that was appended before it, also in the same turn', async (t) => {
  const store = await open(t, { ...small, sync: 'never' });
  for (let i = 1; i <= 20; i++) {
    const appended = store.append(raw(`${i}`));
    await store.flush();
    t.is(store.durableSeq, i);
    await appended;
  }
});

test('a value that is refused changes nothing, nor does a batch with one', async (t) => {
  const store = await open(t);
  const max = store.stats().unitBytesMax;
  t.is(await codeOf(t, store.append('text' as never)), 'ERR_ESPORA_INVALID');
  t.is(await codeOf(t, store.appendBatch([raw('a'), 7 as never])), 'ERR_ESPORA_INVALID');
  t.is(await codeOf(t, store.appendBatch([])), 'ERR_ESPORA_INVALID');
  t.is(await codeOf(t, store.appendBatch(7 as never)), 'ERR_ESPORA_INVALID');
  t.is(await codeOf(t, store.append(new Uint8Array(max))), 'ERR_ESPORA_TOO_LARGE');
  t.is(await codeOf(t, store.append(new Uint8Array(2 << 20))), 'ERR_ESPORA_TOO_LARGE');
  const many = Array.from({ length: 1 << 17 }, () => raw('a'));
  t.is(await codeOf(t, store.appendBatch(many)), 'ERR_ESPORA_TOO_LARGE');
  const largest = new Uint8Array(max - 15).fill(7);
  t.is((await store.append(largest)).seq, 1);
  t.deepEqual(new Uint8Array((await store.get(1))!.value), largest);
});

test('what waits is bounded: above it an append is refused and may be tried again', async (t) => {
  const store = await open(t, { ...small, pendingBytesMax: 60_000 });
  const appends = Array.from({ length: 200 }, () => store.append(new Uint8Array(100)));
  const settled = await Promise.allSettled(appends);
  const refused = settled.filter(({ status }) => status === 'rejected');
  t.true(refused.length > 50 && refused.length < 150);
  for (const { reason } of refused as PromiseRejectedResult[]) {
    t.like(reason, { code: 'ERR_ESPORA_OVERLOADED', definite: true });
  }
  t.is(store.durableSeq, 200 - refused.length);
  t.true((await store.append(new Uint8Array(20_000))).durable);
});

for (const sync of ['never', { intervalMs: 20 }] as const) {
  test(`sync ${JSON.stringify(sync)}: written first, on the device after flush`, async (t) => {
    const store = await open(t, { ...small, sync });
    const { seq, durable } = await store.append(raw('a'));
    t.is(seq, 1);
    if (sync === 'never') {
      t.false(durable);
      t.is(store.durableSeq, 0);
      t.is(await store.get(1), undefined);
    }
    await store.flush();
    t.is(store.durableSeq, 1);
    t.is(text((await store.get(1))!.value), 'a');
    const rows = store.read({ live: true, gt: 1 });
    const next = rows.next();
    await store.append(raw('b'));
    if (sync === 'never') await store.flush();
    t.like(await next, { done: false, value: { seq: 2 } });
    await rows.return!();
  });
}

test('one opener at a time; another kind or a missing store is refused', async (t) => {
  const store = await open(t);
  t.is(await codeOf(t, openStore(store.directory)), 'ERR_ESPORA_LOCKED');
  const missing = `${store.directory}/missing`;
  t.is(await codeOf(t, openStore(missing, { create: false })), 'ERR_ESPORA_NOT_FOUND');
  t.deepEqual(
    readdirSync(store.directory).filter((name) => name === 'missing'),
    [],
  );
});

test('wrong options and ranges are refused with what would be right', async (t) => {
  const refused = async (options: unknown, message: RegExp): Promise<void> => {
    const error = await t.throwsAsync<EsporaError>(openStore('/nowhere', options as StoreOptions));
    t.is(error.code, 'ERR_ESPORA_INVALID');
    t.regex(error.message, message);
  };
  await refused({ synk: 'always' }, /no option synk, did you mean sync\?/);
  await refused({ sync: 'sometimes' }, /'always', 'never' or \{ intervalMs \}/);
  await refused({ sync: { intervalMs: 0 } }, /whole number from 1/);
  await refused({ segmentBytes: 5 }, /segmentBytes must be a whole number from 1048576/);
  await refused({ segmentBytes: (1 << 20) + 4096 }, /multiple of 262144/);
  await refused({ segmentBytes: (256 << 20) + (256 << 10) }, /to 268435456/);
  await refused({ pendingBytesMax: -1 }, /pendingBytesMax/);
  await refused({ record: {} }, /record\(\{/);
  await refused({ create: 1 }, /true or false/);
  await refused(null, /an object/);
  t.is(await codeOf(t, openStore('')), 'ERR_ESPORA_INVALID');

  const store = await open(t);
  const range = (given: unknown, message: RegExp): void => {
    t.regex(t.throws(() => store.read(given as never)).message, message);
  };
  for (const nothing of [null, 5, 'all', true]) range(nothing, /what read takes must be an object/);
  range({ from: 1 }, /read has no option from/);
  range({ gt: 1, gte: 1 }, /exclude each other/);
  range({ lt: 1, lte: 1 }, /exclude each other/);
  range({ live: true, reverse: true }, /exclude each other/);
  range({ gt: 1.5 }, /gt must be a whole number/);
  range({ limit: -1 }, /limit/);
  range({ signal: {} }, /AbortSignal/);
  t.is(await codeOf(t, store.get(0)), 'ERR_ESPORA_INVALID');
});

test('every method after close: rejects as closed, or says what was known', async (t) => {
  const store = await open(t);
  await store.append(raw('a'));
  await store.close();
  const calls: Record<string, () => Promise<unknown>> = {
    append: () => store.append(raw('b')),
    appendBatch: () => store.appendBatch([raw('b')]),
    get: () => store.get(1),
    flush: () => store.flush(),
    verify: () => store.verify(),
  };
  for (const [name, call] of Object.entries(calls)) {
    t.is(await codeOf(t, call()), 'ERR_ESPORA_CLOSED', name);
  }
  for (const call of [() => store.read(), () => store.stats()]) {
    t.is(t.throws<EsporaError>(call).code, 'ERR_ESPORA_CLOSED');
  }
  t.is(store.durableSeq, 1);
  await store.close();
  await store[Symbol.asyncDispose]();
});

for (const segmentBytes of [1 << 20, (1 << 20) + (256 << 10), 256 << 20]) {
  test(`segments of ${segmentBytes} bytes, as the options say`, async (t) => {
    const store = await open(t, { segmentBytes });
    await store.append(raw('a'));
    t.is(store.stats().segmentBytes, segmentBytes);
  });
}

test('verify finds nothing wrong beside the writer', async (t) => {
  const store = await open(t);
  await store.append(raw('a'));
  t.like(await store.verify(), { ok: true, records: 1 });
});
