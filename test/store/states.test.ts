// Every method of a store in every state that the store can be in; and a store that failed for real,
// in a process whose flushes do.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { openStore, Store } from '#espora/index.js';
import { runProgram } from '#espora/lab/program.js';
import { loadNative } from '#espora/addon.js';
import { hookEnvironment } from '../campaigns/tools.js';
import { whereToolsBuild } from '../crash/disks.js';
import { callAll } from '../fixtures/store-calls.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const hooked = whereToolsBuild('states.test.ts');
const fixture = fileURLToPath(new URL('../fixtures/store-poisoned.js', import.meta.url));

const closed = 'ERR_ESPORA_CLOSED';
const failed = 'ERR_ESPORA_FAILED';

/** What each method says; `closing` and `closed` are the same to it. */
const expected: Record<string, { open: string; closed: string; poisoned: string }> = {
  append: { open: 'ok', closed, poisoned: failed },
  appendBatch: { open: 'ok', closed, poisoned: failed },
  flush: { open: 'ok', closed, poisoned: failed },
  get: { open: 'ok', closed, poisoned: 'ok' },
  read: { open: 'ok', closed, poisoned: 'ok' },
  stats: { open: 'ok', closed, poisoned: 'ok' },
  durableSeq: { open: 'ok', closed: 'ok', poisoned: 'ok' },
  verify: { open: 'ok', closed, poisoned: 'ok' },
  backup: { open: 'ok', closed, poisoned: 'ok' },
};

function inState(state: 'open' | 'closed' | 'poisoned'): Record<string, string> {
  return Object.fromEntries(Object.entries(expected).map(([name, says]) => [name, says[state]]));
}

async function filled(t: ExecutionContext): Promise<Store> {
  const store = await openStore(temporaryDirectory(t), { segmentBytes: 1 << 20 });
  t.teardown(() => store.close().catch(() => undefined));
  await store.append(Buffer.from('first'));
  return store;
}

const backupOf = (t: ExecutionContext): string => join(temporaryDirectory(t), 'backup');

test('the table has every method', (t) => {
  const internal = ['constructor', 'closeAtExit', 'close'];
  const names = Object.getOwnPropertyNames(Store.prototype).filter(
    (name) => !internal.includes(name),
  );
  t.deepEqual(names.sort(), Object.keys(expected).sort());
});

test('open: every method does what it is for', async (t) => {
  t.deepEqual(await callAll(await filled(t), backupOf(t)), inState('open'));
});

test('closing: every method is refused before the disk has answered', async (t) => {
  const store = await filled(t);
  const last = store.append(Buffer.from('last'));
  const closing = store.close();
  const calls = callAll(store, backupOf(t));
  t.is(store.close(), closing);
  t.deepEqual(await calls, inState('closed'));
  t.like(await last, { seq: 2, durable: true });
  await closing;
});

test('closed: every method is refused, and closing again is nothing', async (t) => {
  const store = await filled(t);
  await store.close();
  t.deepEqual(await callAll(store, backupOf(t)), inState('closed'));
  t.is(store.durableSeq, 1);
  await store.close();
  await store[Symbol.asyncDispose]();
});

test('the object of the addon: what reads its directory is refused unless it is open', async (t) => {
  const native = new (loadNative().Store)({
    directory: temporaryDirectory(t),
    create: true,
    sync: 'always',
    segmentBytes: 1 << 20,
    kind: 'bytes',
    schema: '',
  });
  const portion = { first: 1, last: 1, reverse: false, recordsMax: 1 };
  const refuse = (when: string): void => {
    t.throws(() => native.verify(), { code: closed }, when);
    t.throws(() => native.backup(backupOf(t)), { code: closed }, when);
    t.throws(() => native.read(portion), { code: closed }, when);
  };
  refuse('not opened yet');
  const opening = native.open(() => undefined);
  refuse('opening');
  await opening;
  t.true((await native.verify()).ok);
  const closing = native.close();
  refuse('closing');
  await closing;
  refuse('closed');
  t.is(native.durableSeq, 0);
});

interface Outcome {
  readonly lastSeq?: number;
  readonly code?: string;
  readonly definite?: boolean;
  readonly message?: string;
}
interface Poisoned {
  readonly appends: readonly Outcome[];
  readonly flushed: string;
  readonly durableSeq: number;
  readonly pending: number;
  readonly pendingBytes: number;
  readonly seqs: readonly number[];
  readonly said: Record<string, string>;
  readonly verified: { ok: boolean; records: number };
  readonly beyond: boolean;
  readonly close: string;
  readonly closed: Record<string, string>;
  readonly durableSeqAfterClose: number;
  readonly live: number;
}

hooked('poisoned: a flush that fails is told apart from what comes after it', async (t) => {
  const directory = temporaryDirectory(t);
  const backup = backupOf(t);
  const environment = await hookEnvironment({ fail: { call: 'fdatasync', error: 5, from: 6 } });
  const { exitCode, stdout, stderr } = await runProgram(
    process.execPath,
    [fixture, directory, backup],
    { env: { ...process.env, ...environment, CALL_HOOK_PROCESS: '' } },
  );
  t.is(exitCode, 0, stderr);
  const report = JSON.parse(stdout) as Poisoned;

  // First what is durable, then one batch of which nobody knows, then what was not begun.
  const kinds = report.appends.map(({ code }) => code ?? 'ok');
  t.regex(kinds.join(' '), /^(ok )+(ERR_ESPORA_INDETERMINATE ?)+( ?ERR_ESPORA_FAILED)+$/);
  for (const { code, definite, message } of report.appends) {
    if (code === undefined) continue;
    t.is(definite, code === failed);
    t.regex(message!, /EIO|Input\/output error/);
  }
  const resolved = report.appends.findLast(({ lastSeq }) => lastSeq !== undefined)!.lastSeq!;
  t.is(report.flushed, failed);
  t.is(report.durableSeq, resolved);
  t.like(report, { pending: 0, pendingBytes: 0, beyond: true, live: resolved });

  t.deepEqual(report.said, inState('poisoned'));
  const durable = Array.from({ length: resolved }, (_, i) => i + 1);
  t.deepEqual(report.seqs, durable);
  t.deepEqual(report.verified, { ok: true, records: resolved });
  t.is(report.close, failed);
  t.deepEqual(report.closed, inState('closed'));
  t.is(report.durableSeqAfterClose, resolved);

  // Nothing is lost by it: the directory is free, whole batches are there, and appends go on.
  for (const at of [directory, backup]) {
    const store = await openStore(at, { create: false });
    const seqs = [];
    for await (const { seq } of store.read()) seqs.push(seq);
    t.deepEqual(seqs.slice(0, resolved), durable);
    t.is(seqs.length % 2, 0);
    t.true(at === directory ? seqs.length <= 2 * report.appends.length : seqs.length === resolved);
    t.is((await store.append(Buffer.from('on'))).seq, seqs.length + 1);
    t.true((await store.verify()).ok);
    await store.close();
  }
});
