// One signal for many reads, as a server has: it is left as it was found, however a read goes on or
// ends.
import { getEventListeners } from 'node:events';
import test from 'ava';
import { openStore } from '#espora/index.js';
import type { Store } from '#espora/index.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const raw = (value: string): Uint8Array => Buffer.from(value);
const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function filled(directory: string): Promise<Store> {
  const store = await openStore(directory, { segmentBytes: 1 << 20 });
  await store.append(raw('0'));
  return store;
}

test('a live read listens once at a time, however long it lasts', async (t) => {
  const store = await filled(temporaryDirectory(t));
  const { signal } = new AbortController();
  const rows = store.read({ live: true, signal });
  for (let i = 1; i <= 300; i++) {
    t.like(await rows.next(), { value: { seq: i } });
    const next = store.append(raw(`${i}`));
    t.true(listeners(signal) <= 1);
    await next;
  }
  await rows.return!();
  t.is(listeners(signal), 0);
  await store.close();
});

test('reads that were left, that ended, or whose store was closed listen no more', async (t) => {
  const store = await filled(temporaryDirectory(t));
  const { signal } = new AbortController();
  const waiting = [];
  for (let i = 0; i < 50; i++) {
    // Left while it waits for what is not there yet, while it reads, and between two rows.
    const live = store.read({ live: true, gt: 1, signal });
    waiting.push(live.next());
    await turn();
    void live.return!();
    const reading = store.read({ signal });
    waiting.push(reading.next());
    void reading.return!();
    for await (const row of store.read({ live: true, signal })) if (row.seq === 1) break;
    for await (const row of store.read({ signal })) t.is(row.seq, 1);
  }
  for (const { done } of await Promise.all(waiting)) t.true(done);
  t.is(listeners(signal), 0);

  const open = Array.from({ length: 20 }, () => store.read({ live: true, gt: 1, signal }).next());
  await turn();
  t.is(listeners(signal), 20);
  await store.close();
  for (const { done } of await Promise.all(open)) t.true(done);
  t.is(listeners(signal), 0);
});

test('one signal ends all reads that wait, with its reason', async (t) => {
  const store = await filled(temporaryDirectory(t));
  const controller = new AbortController();
  const { signal } = controller;
  const open = Array.from({ length: 20 }, (_, i) =>
    store.read({ live: true, gt: i % 2, signal }).next(),
  );
  await open[0];
  controller.abort(new Error('enough'));
  for (const [i, one] of (await Promise.allSettled(open)).entries()) {
    if (i === 0) continue;
    if (one.status === 'rejected') t.is((one.reason as Error).message, 'enough');
    else t.like(one.value, { value: { seq: 1 } });
  }
  t.is(listeners(signal), 0);
  const error = await t.throwsAsync(store.read({ signal }).next());
  t.is(error.message, 'enough');
  await store.close();
});
