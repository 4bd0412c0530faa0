// Something else than a file under each name that a store uses: a start either gets by it or is
// refused with a sentence that names it and exit code 3, no tool waits for it or takes it for usage,
// and what else a start refuses names the store's directory too.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import anyTest from 'ava';
import type { ExecutionContext, TestFn } from 'ava';
import { Database, EsporaError, openStore, record, utf8 } from '#espora/index.js';
import type { RecordType } from '#espora/index.js';
import { exitCodeOf, toEsporaError } from '#espora/errors.js';
import { loadNative } from '#espora/addon.js';
import { balance, credit } from '../helpers/http.js';
import { runEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

/** `sound`: a ledger of three transactions. */
const test = anyTest as TestFn<{ sound: string }>;

const open = (data: string): Database =>
  new Database({ data, host: '127.0.0.1', port: 0, segmentBytes: 2 ** 20 });

test.before(async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'espora-names-'));
  const database = open(data);
  const { port } = (await database.start()) as { port: number };
  for (let i = 1; i <= 3; i++) t.is((await credit({ port }, 1, i)).status, 200);
  await database.stop();
  t.context = { sound: data };
});
test.after.always((t) => {
  rmSync(t.context.sound, { recursive: true });
});

type Thing = keyof typeof what;

async function put(t: ExecutionContext<unknown>, thing: Thing, path: string): Promise<void> {
  rmSync(path, { force: true });
  if (thing === 'directory') mkdirSync(path);
  else if (thing === 'fifo') execFileSync('mkfifo', [path]);
  else if (thing === 'link to nothing') symlinkSync('nothing', path);
  else if (thing === 'link to itself') symlinkSync(path, path);
  else {
    const server = createServer().listen(path);
    await once(server, 'listening');
    t.teardown(() => server.close());
  }
}

/** What a promise rejects with, as a program would end with it. */
async function refusal(promise: Promise<unknown>): Promise<{ message: string; exitCode: number }> {
  try {
    await promise;
  } catch (thrown) {
    const error = toEsporaError(thrown);
    if (error instanceof EsporaError)
      return { message: error.message, exitCode: exitCodeOf(error) };
    throw thrown;
  }
  return { message: 'nothing was refused', exitCode: 0 };
}

const what = {
  directory: 'a directory',
  fifo: 'no regular file',
  socket: 'no regular file',
  'link to nothing': 'a symbolic link',
  'link to itself': 'a symbolic link',
} as const;
/** What each tool says of a store, findings or why it gives up, and how it would end. */
async function saidByTools(
  data: string,
  to: string,
): Promise<readonly { text: string; exitCode: number }[]> {
  const native = loadNative();
  const items: unknown[] = [];
  const inspected = native.inspectStore(data, {}, (some) => void items.push(...some));
  return Promise.all(
    [
      inspected.then(() => items),
      native.verifyStore(data),
      native.copyStore(data, `${to} of backup`, false),
      native.copyStore(data, `${to} of repair`, true),
    ].map((work) =>
      work.then(
        (report) => ({ text: JSON.stringify(report), exitCode: 0 }),
        async () => {
          const { message, exitCode } = await refusal(work);
          return { text: message, exitCode };
        },
      ),
    ),
  );
}

const needed = ['STORE', 'LOCK', '00000001.seg', 'SNAP-2'];
const temporary = [
  'STORE.tmp',
  'spare-0.tmp',
  'spare-1.tmp',
  'spare-7.tmp',
  'dense-1.tmp',
  'SNAP-2.tmp',
];

for (const name of [...needed, ...temporary]) {
  for (const thing of Object.keys(what) as Thing[]) {
    test(`a ${thing} called ${name}`, async (t) => {
      const data = join(temporaryDirectory(t), 'data');
      cpSync(t.context.sound, data, { recursive: true });
      const path = join(data, name);
      await put(t, thing, path);

      const said = await saidByTools(data, join(dirname(data), 'copy'));
      for (const { exitCode } of said) t.not(exitCode, 2);
      const refused = needed.includes(name) || thing === 'directory';
      const text = said.map((each) => each.text).join('\n');
      t.is(text.includes(`${path} is `), refused, text);

      const service = open(data);
      if (refused) {
        const { message, exitCode } = await refusal(service.start());
        t.true(
          message.startsWith(`${path} is ${what[thing]}, where the store has a file`),
          message,
        );
        t.is(exitCode, 3);
      } else {
        const { port } = (await service.start()) as { port: number };
        t.is(await balance({ port }, 1), 6);
        await service.stop();
        // Removed, or a file by now.
        t.true(lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? true);
      }
    });
  }
}

test('the program says so, and how to go on', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  cpSync(t.context.sound, data, { recursive: true });
  const path = join(data, 'spare-1.tmp');
  mkdirSync(path);
  for (const [command, exitCode] of [
    ['database', 3],
    ['verify', 0],
  ] as const) {
    const ran = await runEspora(t, [command, '--data', data]);
    t.is(ran.exitCode, exitCode, ran.stderr);
    const text = `${path} is a directory, where the store has a file: move it away`;
    t.true(`${ran.stdout}${ran.stderr}`.includes(text), ran.stdout + ran.stderr);
  }
});

test('what the replay of a ledger refuses names the directory', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const database = new Database({
    data,
    port: 0,
    segmentBytes: 2 ** 20,
    accounts: [{ id: 1, limit: 100 }],
  });
  await database.start();
  await database.stop();
  const header = readFileSync(join(data, 'STORE'));
  const [kindBytes, schemaBytes] = [header.readUInt16LE(36), header.readUInt32LE(48)];
  const schema = header.subarray(64 + kindBytes, 64 + kindBytes + schemaBytes).toString('latin1');
  // A record that is no entry of a ledger.
  const bytes: RecordType<Uint8Array> = {
    ...record({ all: utf8(10) }),
    kind: 'ledger',
    schema,
  } as never;
  const store = await openStore(data, { record: bytes });
  await store.append({ all: 'no entry' } as never);
  await store.close();
  const { message, exitCode } = await refusal(open(data).start());
  t.true(message.startsWith(`${data}: ledger entry: `), message);
  t.is(exitCode, 3);
});

test('what else a start refuses names the directory', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  await (await openStore(data, { record: record({ a: utf8(10) }) })).close();
  const other = await refusal(openStore(data, { record: record({ b: utf8(10) }) }));
  t.true(other.message.startsWith(`${data}: `), other.message);
  const kind = await refusal(new Database({ data, port: 0 }).start());
  t.true(kind.message.startsWith(`${data}: `), kind.message);
  const store = await openStore(data, { record: record({ a: utf8(10) }) });
  const locked = await refusal(openStore(data, { record: record({ a: utf8(10) }) }));
  t.true(locked.message.startsWith(`${data}: `), locked.message);
  await store.close();
});
