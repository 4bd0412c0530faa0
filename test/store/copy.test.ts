// Backup, repair and export, on real stores and real damage.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { bytes, enumOf, i64, openStore, record, u32, utf8 } from '#espora/index.js';
import type { Row, Store } from '#espora/index.js';
import { runEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const entry = record({
  account: u32(),
  value: i64(),
  kind: enumOf('c', 'd'),
  note: utf8(10),
  tag: bytes(8),
});

async function all<T>(store: Store<T>): Promise<Row<T>[]> {
  const rows = [];
  for await (const row of store.read()) rows.push(row);
  return rows;
}

/** A store of raw records, several segments long, closed. */
async function filled(t: ExecutionContext, count: number): Promise<string> {
  const directory = join(temporaryDirectory(t), 'store');
  const store = await openStore(directory, { segmentBytes: 1 << 20 });
  for (let i = 1; i <= count; i++) {
    const padding = 'x'.repeat(2000);
    await store.append(Buffer.from(`${i} ${padding}`));
  }
  await store.close();
  return directory;
}

const seqOf = (row: Row<Uint8Array>): number => parseInt(Buffer.from(row.value).toString(), 10);

test('a backup taken between appends has what was durable, and opens', async (t) => {
  const store = await openStore(temporaryDirectory(t), { segmentBytes: 1 << 20 });
  t.teardown(() => store.close());
  const appends = [];
  for (let i = 1; i <= 3000; i++) appends.push(store.append(Buffer.alloc(1000, `${i} `)));
  await Promise.all(appends);
  const known = store.durableSeq;
  const more = Promise.all(Array.from({ length: 500 }, () => store.append(Buffer.from('more'))));
  const target = join(temporaryDirectory(t), 'backup');
  const { lastSeq, records } = await store.backup(target);
  await more;
  t.is(known, 3000);
  t.true(lastSeq >= known && lastSeq <= store.durableSeq);
  t.is(records, lastSeq);

  const copy = await openStore(target);
  const copied = await all(copy);
  const originals = (await all(store)).slice(0, lastSeq);
  t.deepEqual(copied, originals);
  t.is((await copy.append(Buffer.from('on'))).seq, lastSeq + 1);
  t.like(await copy.verify(), { ok: true, records: lastSeq + 1 });
  await copy.close();
  await t.throwsAsync(store.backup(target), { code: 'ERR_ESPORA_EXISTS' });
});

test('an empty store has a backup too', async (t) => {
  const store = await openStore(temporaryDirectory(t), { segmentBytes: 1 << 20 });
  const target = join(temporaryDirectory(t), 'backup');
  t.deepEqual(await store.backup(target), { lastSeq: 0, records: 0 });
  await store.close();
  const copy = await openStore(target, { create: false });
  t.is((await copy.append(Buffer.from('1'))).seq, 1);
  await copy.close();
});

test('repair of a sound store gives nothing up', async (t) => {
  const directory = await filled(t, 20);
  const to = join(temporaryDirectory(t), 'new');
  const ran = await runEspora(t, ['repair', '--data', directory, '--to', to, '--json']);
  t.is(ran.exitCode, 0, ran.stderr);
  t.like(JSON.parse(ran.stdout), { records: 20, lastSeq: 20, lost: 0, losses: [] });
  t.is((await runEspora(t, ['verify', '--data', to])).exitCode, 0);
});

test('repair gives up one damaged block and nothing else, and says which', async (t) => {
  const directory = await filled(t, 200);
  const segment = join(directory, '00000001.seg');
  const before = readFileSync(segment);
  // In the middle of the frame of some record in the first third.
  const at = before.indexOf('50 xxx');
  t.true(at > 0);
  const file = openSync(segment, 'r+');
  writeSync(file, 'X', at + 100);
  closeSync(file);
  const damaged = readFileSync(segment);

  t.is((await runEspora(t, ['verify', '--data', directory])).exitCode, 3);
  const refused = await runEspora(t, [
    'backup',
    '--data',
    directory,
    '--to',
    join(temporaryDirectory(t), 'b'),
  ]);
  t.is(refused.exitCode, 3);

  const to = join(temporaryDirectory(t), 'new');
  const ran = await runEspora(t, ['repair', '--data', directory, '--to', to, '--json']);
  t.is(ran.exitCode, 3, ran.stderr);
  const report = JSON.parse(ran.stdout) as {
    records: number;
    lost: number;
    losses: { firstSeq: number; lastSeq: number; segment: number; block: number }[];
  };
  t.is(report.losses.length, 1);
  const [{ firstSeq, lastSeq, segment: where, block }] = report.losses as [
    (typeof report.losses)[0],
  ];
  t.is(where, 1);
  t.is(block > 0 && at >= block * 4096, true);
  t.true(firstSeq <= 50 && lastSeq >= 50);
  t.is(report.lost, lastSeq - firstSeq + 1);
  t.is(report.records, 200 - report.lost);
  t.deepEqual(readFileSync(segment), damaged);

  t.is((await runEspora(t, ['verify', '--data', to])).exitCode, 0);
  const store = await openStore(to);
  const rows = await all(store);
  t.deepEqual(
    rows.map(({ seq }) => seq),
    Array.from({ length: 200 }, (_, i) => i + 1).filter((i) => i < firstSeq || i > lastSeq),
  );
  t.true(rows.every((row) => seqOf(row) === row.seq));
  t.is(await store.get(50), undefined);
  t.is((await store.append(Buffer.from('201'))).seq, 201);
  await store.close();
});

test('export: typed records as JSON lines and CSV, by range', async (t) => {
  const directory = temporaryDirectory(t);
  const store = await openStore(directory, { record: entry, segmentBytes: 1 << 20 });
  for (let i = 1; i <= 5; i++) {
    await store.append({
      account: i,
      value: 2n ** 60n + BigInt(i),
      kind: i % 2 === 0 ? 'c' : 'd',
      note: i === 3 ? 'a "b", c' : `n${i}`,
      tag: new Uint8Array([0xff, i]),
    });
  }
  // Beside the open store.
  const lines = async (...args: string[]): Promise<string[]> => {
    const ran = await runEspora(t, ['export', '--data', directory, ...args]);
    t.is(ran.exitCode, 0, ran.stderr);
    return ran.stdout.trimEnd().split('\n');
  };
  const rows = await lines('--from', '2', '--to', '4');
  t.is(rows.length, 3);
  const time = (await store.get(2))!.time;
  t.is(
    rows[0],
    `{"seq":2,"timeUs":${time},"account":2,"value":1152921504606846978,"kind":"c","note":"n2","tag":"/wI="}`,
  );
  const csv = await lines('--format', 'csv', '--bytes', 'hex', '--from', '3', '--limit', '1');
  t.is(csv[0], 'seq,timeUs,account,value,kind,note,tag');
  t.regex(csv[1]!, /^3,\d+,3,1152921504606846979,d,"a ""b"", c",ff03$/);
  t.is(csv.length, 2);
  const wrong = await runEspora(t, ['export', '--data', directory, '--format', 'xml']);
  t.is(wrong.exitCode, 2);
  t.regex(wrong.stderr, /--format must be ndjson or csv/);
  await store.close();
});

test('export: bytes are base64', async (t) => {
  const directory = await filled(t, 1);
  const ran = await runEspora(t, ['export', '--data', directory]);
  const { seq, bytes: text } = JSON.parse(ran.stdout) as { seq: number; bytes: string };
  t.is(seq, 1);
  t.true(Buffer.from(text, 'base64').toString().startsWith('1 xxx'));
});

test('copies need a place to go, and a source', async (t) => {
  const nowhere = await runEspora(t, ['repair', '--data', '/nowhere']);
  t.is(nowhere.exitCode, 2);
  t.regex(nowhere.stderr, /--to is missing/);
  const missing = await runEspora(t, [
    'backup',
    '--data',
    '/nowhere',
    '--to',
    temporaryDirectory(t),
  ]);
  t.is(missing.exitCode, 1);
});
