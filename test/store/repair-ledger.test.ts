// A damaged ledger, repaired: the database opens what comes out, and its balances are true.
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Database } from '#espora/index.js';
import { balance, credit } from '../helpers/http.js';
import { runEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const transactions = 290;
const open = (data: string): Database =>
  new Database({ data, host: '127.0.0.1', port: 0, segmentBytes: 2 ** 20 });

/** Credits of 1 to `count` cents, one batch each, 254 to a segment; the last is the fifth account's. */
async function filled(t: ExecutionContext, count = transactions): Promise<string> {
  const data = join(temporaryDirectory(t), 'data');
  const database = open(data);
  const { port } = (await database.start()) as { port: number };
  for (let i = 1; i <= count; i++) {
    t.is((await credit({ port }, 1 + ((i - 1) % 5), i)).status, 200);
  }
  await database.stop();
  return data;
}

interface Repaired {
  readonly records: number;
  readonly lastSeq: number;
  readonly lost: number;
}

async function repaired(t: ExecutionContext, data: string, to: string): Promise<Repaired> {
  const ran = await runEspora(t, ['repair', '--data', data, '--to', to, '--json']);
  t.is(ran.exitCode, 3, ran.stdout + ran.stderr);
  return JSON.parse(ran.stdout) as Repaired;
}

async function balances(t: ExecutionContext, data: string): Promise<number[]> {
  const database = open(data);
  const { port } = (await database.start()) as { port: number };
  const found = [];
  for (const account of [1, 2, 3, 4, 5]) found.push(await balance({ port }, account));
  t.is((await credit({ port }, 1, 1)).status, 200);
  await database.stop();
  return found;
}

/** What each account has after credits of 1 to `last`, those in `lost` left out. */
const sums = (last: number, lost: readonly number[] = []): number[] =>
  [0, 1, 2, 3, 4].map((account) =>
    Array.from({ length: last }, (_, i) => i + 1)
      .filter((i) => (i - 1) % 5 === account && !lost.includes(i))
      .reduce((sum, i) => sum + i, 0),
  );

/** Where the batches of a segment lie that was not rewritten, by their first sequence. */
function* batches(bytes: Buffer): Generator<[seq: number, at: number]> {
  for (let at = 4096; at < bytes.length; at += 4096) {
    const batch =
      bytes.toString('latin1', at, at + 4) === 'EFRM' && bytes.readUInt16LE(at + 8) === 1;
    if (batch) yield [Number(bytes.readBigUInt64LE(at + 24)), at];
  }
}

function change(file: string, edit: (bytes: Buffer) => void): void {
  const bytes = readFileSync(file);
  edit(bytes);
  writeFileSync(file, bytes);
}

test('a wrong byte in a header or in STORE costs no transaction', async (t) => {
  const data = await filled(t);
  const newest = readdirSync(data)
    .filter((name) => name.endsWith('.seg'))
    .sort()
    .at(-1)!;
  for (const [name, at] of [
    [newest, 70],
    ['00000001.seg', 20],
    ['STORE', 90],
  ] as const) {
    const flip = (bytes: Buffer): void => void (bytes[at]! ^= 0xff);
    change(join(data, name), flip);
    const to = join(temporaryDirectory(t), 'new');
    t.like(await repaired(t, data, to), { records: transactions, lost: 0 }, name);
    t.deepEqual(await balances(t, to), sums(transactions), name);
    change(join(data, name), flip);
  }
});

test('transactions that are lost are made up for by the next ones, and verify says so', async (t) => {
  const data = await filled(t, 200);
  // Nothing was rewritten yet. These are of the accounts 5, 1, 2 and 3.
  change(join(data, '00000001.seg'), (bytes) => {
    for (const [seq, at] of batches(bytes)) {
      if (seq >= 100 && seq <= 103) bytes.fill(0xee, at, at + 4096);
    }
  });
  const to = join(temporaryDirectory(t), 'new');
  t.like(await repaired(t, data, to), { records: 196, lastSeq: 200, lost: 4 });

  const verified = await runEspora(t, ['verify', '--data', to]);
  t.is(verified.exitCode, 0, verified.stdout);
  t.regex(verified.stdout, /^lost records +4$/m);
  t.regex(verified.stdout, /^note: sequences 100 to 103 are lost/m);
  t.regex(verified.stdout, /^note: record 105 corrects the balance of account 5 by \+100,/m);
  const exported = await runEspora(t, ['export', '--data', to, '--from', '99', '--to', '104']);
  t.deepEqual(
    exported.stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { seq: number }).seq),
    [99, 104],
  );
  const inspected = await runEspora(t, ['inspect', '--data', to, '--no-frames', '--from', '100']);
  t.regex(inspected.stdout, /^ {4}lost {2}seq 100, /m);
  // Every account has a later one: all balances are what they were.
  t.deepEqual(await balances(t, to), sums(200));
});

test('a segment that is gone: the database opens with what is left, and says what is open', async (t) => {
  const data = await filled(t);
  const before = join(temporaryDirectory(t), 'first');
  rmSync(join(data, '00000001.seg'));
  const { records, lost } = await repaired(t, data, before);
  t.is(records + lost, transactions);
  t.true(lost > 0 && records > 5);
  t.deepEqual(await balances(t, before), sums(transactions));

  const other = await filled(t);
  // The last transaction of account 5, which a seal behind it proves.
  const newest = readdirSync(other)
    .filter((name) => name.endsWith('.seg'))
    .sort()
    .at(-1)!;
  change(join(other, newest), (bytes) => {
    bytes[[...batches(bytes)].at(-1)![1] + 70]! ^= 1;
  });
  const after = join(temporaryDirectory(t), 'second');
  t.like(await repaired(t, other, after), { records: transactions - 1, lost: 1 });
  const verified = await runEspora(t, ['verify', '--data', after]);
  t.is(verified.exitCode, 0, verified.stdout);
  t.regex(
    verified.stdout,
    /^note: account 5 has a balance of \d+ by record 285; records that were lost/m,
  );
  t.deepEqual(await balances(t, after), sums(transactions, [transactions]));
});
