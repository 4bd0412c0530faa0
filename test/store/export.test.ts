// What `espora export` writes is what the records are, whatever they hold, and nothing that controls
// who reads it; and it ends where its range ends, or its reader.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { csvLine } from '#espora/cli/export-command.js';
import { textLine } from '#espora/cli/log.js';
import { f64, openStore, record, u32, utf8 } from '#espora/index.js';
import type { Ended } from '#espora/lab/program.js';
import { oneLine } from '#espora/shown.js';
import { runEspora, startEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const entry = record({ seq: u32(), timeUs: u32(), value: f64(), note: utf8(100) });

async function filled(t: ExecutionContext, notes: readonly string[]): Promise<string> {
  const directory = join(temporaryDirectory(t), 'store');
  const store = await openStore(directory, { record: entry, segmentBytes: 1 << 20 });
  const rows = notes.map((note, i) => ({ seq: 70 + i, timeUs: 7, value: -0, note }));
  if (rows.length > 0) await store.appendBatch(rows);
  await store.close();
  return directory;
}

test('a field with the name of one of ours has a longer one, and -0 stays', async (t) => {
  const data = await filled(t, ['a', 'b']);
  const json = await runEspora(t, ['export', '--data', data, '--from', '2']);
  t.regex(
    json.stdout,
    /^\{"seq":2,"timeUs":\d{10,},"value\.seq":71,"value\.timeUs":7,"value":-0,"note":"b"\}\n$/,
  );
  const csv = await runEspora(t, ['export', '--data', data, '--format', 'csv']);
  t.regex(csv.stdout, /^seq,timeUs,value\.seq,value\.timeUs,value,note\n1,\d{10,},70,7,-0,a\n2,/);
});

test('CSV has its head also where no record is', async (t) => {
  const head = 'seq,timeUs,value.seq,value.timeUs,value,note\n';
  for (const [notes, args] of [
    [[], []],
    [['a'], ['--from', '2']],
    [['a'], ['--limit', '0']],
    [['a'], ['--to', '0']],
  ] as const) {
    const data = await filled(t, notes);
    const ran = await runEspora(t, ['export', '--data', data, '--format', 'csv', ...args]);
    t.is(ran.stdout, head, args.join(' '));
  }
});

test('formats that exclude each other are refused', async (t) => {
  const data = await filled(t, ['a']);
  for (const args of [['--json', '--format', 'csv'], ['--no-formulas']]) {
    const ran = await runEspora(t, ['export', '--data', data, ...args]);
    t.is(ran.exitCode, 2, args.join(' '));
    t.is(ran.stdout, '');
  }
});

test('text is no formula where that is asked for', (t) => {
  const values = ['=1+1', '+1', '-1', '@x', '\tx', '\rx', 'a=1', -1, -1n];
  t.is(csvLine(values), '=1+1,+1,-1,@x,\tx,"\rx",a=1,-1,-1');
  t.is(csvLine(values, false), `'=1+1,'+1,'-1,'@x,'\tx,"'\rx",a=1,-1,-1`);
});

test('nothing in a record or a path controls a terminal or forges a line', async (t) => {
  const hostile = '\u009b2J\u202eabc\u2028\u0007\u007f';
  const data = await filled(t, [hostile]);
  const controls = /[^\P{Cc}\n]|[\p{Bidi_Control}\u2028]/u;
  for (const args of [['export'], ['inspect'], ['inspect', '--json']]) {
    const { stdout } = await runEspora(t, [...args, '--data', data]);
    t.notRegex(stdout, controls, args.join(' '));
  }
  const { stdout } = await runEspora(t, ['export', '--data', data]);
  t.is((JSON.parse(stdout) as { note: string }).note, hostile);
  // A file is given what the record holds.
  const csv = await runEspora(t, ['export', '--data', data, '--format', 'csv']);
  t.true(csv.stdout.includes(hostile));

  const forged = join(temporaryDirectory(t), 'x\nespora: all is well\u009b');
  mkdirSync(forged);
  for (const command of ['export', 'inspect', 'verify', 'config database']) {
    const ran = await runEspora(t, [...command.split(' '), '--data', forged]);
    t.notRegex(ran.stderr + ran.stdout, /^espora: all is well/m, command);
    t.notRegex(ran.stderr + ran.stdout, controls, command);
  }
  const line = textLine(
    JSON.stringify({ level: 'info', time: 0, service: 'x', msg: 'a\nb', p: '\n' }),
    false,
  );
  t.is(line.split('\n').length, 2);
  t.is(oneLine('a\n\u202e'), 'a\\u000a\\u202e');
});

test('--to is an end, whatever is missing before it', async (t) => {
  const data = await filled(t, ['a', 'b', 'c', 'd']);
  const seqs = async (...args: string[]): Promise<number[]> => {
    const { stdout } = await runEspora(t, ['export', '--data', data, ...args]);
    return stdout
      .split('\n')
      .flatMap((text) => (text === '' ? [] : [(JSON.parse(text) as { seq: number }).seq]));
  };
  t.deepEqual(await seqs('--from', '2', '--to', '3'), [2, 3]);
  t.deepEqual(await seqs('--from', '3', '--to', '2'), []);
  t.deepEqual(await seqs('--to', '3', '--limit', '2'), [1, 2]);
});

/** Runs espora and reads what it says until `enough` is there, and no further. */
async function readUntil(
  t: ExecutionContext,
  args: readonly string[],
  enough: RegExp,
): Promise<Ended> {
  const program = startEspora(t, args);
  await program.heard(
    () => (program.stdout !== '' && enough.test(program.stdout + program.stderr)) || undefined,
  );
  program.child.stdout!.destroy();
  return await program.ended;
}

/** A store of 200,000 records whose first segment is wrong at `place`. */
async function damaged(
  t: ExecutionContext,
  segmentBytes: number,
  place: (segment: Buffer) => number,
): Promise<string> {
  const directory = join(temporaryDirectory(t), 'store');
  const store = await openStore(directory, { segmentBytes });
  for (let i = 0; i < 100; i++) {
    await store.appendBatch(Array.from({ length: 2_000 }, () => Buffer.alloc(20)));
  }
  await store.close();
  const segment = join(directory, '00000001.seg');
  const bytes = readFileSync(segment);
  bytes[place(bytes)]! ^= 1;
  writeFileSync(segment, bytes);
  return directory;
}

test('a reader that goes ends what only reads', async (t) => {
  // Whoever reads on comes by this, and says so.
  const data = await damaged(t, 64 << 20, (bytes) => bytes.lastIndexOf('EFRM') - 5_000);
  t.is((await runEspora(t, ['export', '--data', data, '--from', '195000'])).exitCode, 3);
  for (const command of ['export', 'inspect']) {
    const { exitCode: code, stderr } = await readUntil(t, [command, '--data', data], /./);
    t.is(code, 0, command);
    t.is(stderr, '', command);
  }
});

test('a reader that goes: the damage until then is told', async (t) => {
  const data = await damaged(t, 1 << 20, (bytes) => bytes.indexOf('EFRM') + 5_000);
  for (const command of ['export', 'inspect']) {
    const read = await readUntil(t, [command, '--data', data], /is not whole/);
    t.is(read.exitCode, 3, command);
    // It was left before its end.
    t.notRegex(read.stdout, /seq"?:? ?(200000|200,000), ?"?time/, command);
  }
});
