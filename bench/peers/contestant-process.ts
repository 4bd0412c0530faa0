// One round of one contestant in a process of its own: `contestant-process.js NAME TASK`, TASK as
// JSON. Prints one line of JSON.

import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { openStore } from '#espora/index.js';
import { at } from '../lib/project.js';
import type { Measured, Task } from './contestants.js';

const value = Buffer.alloc(100, 'x');
const peers = createRequire(at('bench/peers/npm/package.json'));

/** What every contestant can do; each resolves when the device has it. */
interface Contestant {
  readonly append: () => Promise<unknown>;
  /** One atomic unit of so many records. */
  readonly batch: (records: number) => Promise<unknown>;
  /** Reads everything forward; resolves with the count. */
  readonly read: () => Promise<number>;
  readonly close: () => Promise<unknown>;
}

interface LmdbModule {
  open(options: Readonly<Record<string, unknown>>): {
    put(key: number, data: Buffer): Promise<boolean>;
    batch(work: () => void): Promise<unknown>;
    readonly flushed: Promise<unknown>;
    getRange(options: object): Iterable<{ key: number; value: Buffer }>;
    close(): Promise<void>;
  };
}

async function espora(directory: string): Promise<Contestant> {
  const store = await openStore(directory);
  return {
    append: () => store.append(value),
    batch: (records) => store.appendBatch(new Array<Buffer>(records).fill(value)),
    async read() {
      let count = 0;
      for await (const row of store.read()) count += row.value.length === value.length ? 1 : 0;
      return count;
    },
    close: () => store.close(),
  };
}

// `overlapping`: a commit resolves before its flush, which is then awaited by itself; otherwise with
// its flush.
function lmdb(directory: string, overlapping: boolean): Contestant {
  const module = peers('lmdb') as LmdbModule;
  const database = module.open({
    path: join(directory, 'data.mdb'),
    keyEncoding: 'uint32',
    encoding: 'binary',
    overlappingSync: overlapping,
  });
  let key = 0;
  const durable = async (written: Promise<unknown>): Promise<void> => {
    await written;
    if (overlapping) await database.flushed;
  };
  return {
    append: () => durable(database.put(++key, value)),
    batch: (records) =>
      durable(
        database.batch(() => {
          for (let i = 0; i < records; i++) void database.put(++key, value);
        }),
      ),
    read() {
      let count = 0;
      for (const row of database.getRange({})) count += row.value.length === value.length ? 1 : 0;
      return Promise.resolve(count);
    },
    close: () => database.close(),
  };
}

interface SqliteModule {
  new (path: string): {
    pragma(text: string): unknown;
    exec(text: string): void;
    prepare(text: string): {
      run(...values: unknown[]): void;
      iterate(): Iterable<{ data: Buffer }>;
    };
    transaction(work: (records: number) => void): (records: number) => void;
    close(): void;
  };
}

function sqlite(directory: string): Contestant {
  const Database = peers('better-sqlite3') as SqliteModule;
  const database = new Database(join(directory, 'data.sqlite'));
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.exec('CREATE TABLE records (seq INTEGER PRIMARY KEY, data BLOB NOT NULL)');
  const insert = database.prepare('INSERT INTO records (data) VALUES (?)');
  const many = database.transaction((records) => {
    for (let i = 0; i < records; i++) insert.run(value);
  });
  return {
    append: () => Promise.resolve(insert.run(value)),
    batch: (records) => Promise.resolve(many(records)),
    read() {
      let count = 0;
      const rows = database.prepare('SELECT seq, data FROM records ORDER BY seq').iterate();
      for (const { data } of rows) count += data.length === value.length ? 1 : 0;
      return Promise.resolve(count);
    },
    close: () => Promise.resolve(database.close()),
  };
}

async function enter(name: string, directory: string): Promise<Contestant> {
  mkdirSync(directory, { recursive: true });
  switch (name) {
    case 'espora':
      return espora(directory);
    case 'lmdb':
      return lmdb(directory, false);
    case 'lmdb, flush overlapping':
      return lmdb(directory, true);
    default:
      return sqlite(directory);
  }
}

async function inFlight(one: () => Promise<unknown>, flight: number, count: number): Promise<void> {
  let left = count;
  const lane = async (): Promise<void> => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: flight }, lane));
}

async function play(contestant: Contestant, task: Task): Promise<number> {
  const { kind, flight, count } = task;
  switch (kind) {
    case 'append':
      await inFlight(() => contestant.append(), flight, count);
      return count;
    case 'turn':
      await Promise.all(Array.from({ length: count }, () => contestant.append()));
      return count;
    case 'batch':
      await inFlight(() => contestant.batch(flight), 1, count);
      return flight * count;
    case 'read':
      return contestant.read();
  }
}

const [name = '', text = ''] = process.argv.slice(2);
const task = JSON.parse(text) as Task;
const contestant = await enter(name, task.directory);
if (task.kind === 'read') {
  for (let left = task.count; left > 0; left -= 1000) await contestant.batch(Math.min(1000, left));
} else {
  // Everything was compiled, and everything that is made at first is there.
  await play(contestant, { ...task, count: Math.max(1, Math.ceil(task.count / 10)) });
}
const before = process.hrtime.bigint();
const records = await play(contestant, task);
const seconds = Number(process.hrtime.bigint() - before) / 1e9;
if (task.kind === 'read' && records !== task.count) throw new Error(`${records} records were read`);
await contestant.close();
const diskBytes = readdirSync(task.directory).reduce(
  (sum, file) => sum + statSync(join(task.directory, file)).blocks * 512,
  0,
);
const measured: Measured = { seconds, records, diskBytes };
process.stdout.write(`${JSON.stringify(measured)}\n`);
