// The addon called as its own TypeScript never calls it: each wrong argument is refused with the call
// or the option that it is about, and the object is as usable as before.
import { join } from 'node:path';
import test from 'ava';
import { openStore } from '#espora/index.js';
import { loadNative } from '#espora/addon.js';
import type { NativeStore, NativeStoreItem } from '#espora/native.js';
import { settingsInForce } from '#espora/services/service.js';
import { Balancer } from '#espora/services/balancer.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

// The addon without the types that keep others from this.
type Made = Readonly<Record<string, (...given: unknown[]) => unknown>>;
const functions = loadNative() as unknown as Made;
const classes = loadNative() as unknown as Readonly<
  Record<string, new (...given: unknown[]) => Made>
>;
const make = (name: string, ...given: unknown[]): Made => new classes[name]!(...given);
const call = (of: Made, name: string, ...given: unknown[]): unknown => of[name]!(...given);

type Call = readonly [string, () => unknown, RegExp];

const store = { directory: 'x', create: true, sync: 'always', kind: 'bytes', schema: '' };
const listening = { port: 0, host: '127.0.0.1', unixSocketMode: 0o600 };

const calls: readonly Call[] = [
  ['a store of nothing', () => make('Store'), /^new Store\(options\)$/],
  ['a database of a text', () => make('Database', 'x'), /^new Database\(options\)$/],
  ['a forwarder of a number', () => make('Forwarder', 1), /^new Forwarder\(options\)$/],
  [
    'a store that flushes now and then',
    () => make('Store', { ...store, sync: 'sometimes' }),
    /^option "sync" must be "always", "interval" or "never"$/,
  ],
  [
    'a store whose name is a number',
    () => make('Store', { ...store, directory: 1 }),
    /^option "directory" must be a string$/,
  ],
  [
    'a store that is made perhaps',
    () => make('Store', { ...store, create: 'perhaps' }),
    /^option "create" must be a boolean$/,
  ],
  [
    'segments of a text',
    () => make('Store', { ...store, segmentBytes: '1' }),
    /^option "segmentBytes" must be a number$/,
  ],
  ...[-1, 1.5, NaN, Infinity].map((segmentBytes): Call => [
    `segments of ${segmentBytes} bytes`,
    () => make('Store', { ...store, segmentBytes }),
    /^option "segmentBytes" must be an integer from 0 to \d+$/,
  ]),
  [
    'upstreams that are no list',
    () => make('Forwarder', { ...listening, upstreams: {} }),
    /^option "upstreams" must be an array$/,
  ],
  [
    'an upstream that is a text',
    () => make('Forwarder', { ...listening, upstreams: ['a:1'] }),
    /^an upstream is an object$/,
  ],
  [
    'a copy to nowhere',
    () => call(functions, 'copyStore', 'a', 1, true),
    /^copyStore\(from, to, giveUp, like\?\)$/,
  ],
  [
    'a copy, perhaps',
    () => call(functions, 'copyStore', 'a', 'b', 1),
    /^copyStore\(from, to, giveUp, like\?\)$/,
  ],
  ['a look at nothing', () => call(functions, 'verifyStore'), /^verifyStore\(directory\)$/],
  [
    'a look that is told to nobody',
    () => call(functions, 'inspectStore', 'a', {}),
    /^inspectStore\(directory, options, onItems\)$/,
  ],
  [
    'a look without options',
    () => call(functions, 'inspectStore', 'a', 1, () => undefined),
    /^inspectStore\(directory, options, onItems\)$/,
  ],
  [
    'a look at less than nothing',
    () => call(functions, 'inspectStore', 'a', { limit: -1 }, () => undefined),
    /^option "limit" must be an integer from 0 to \d+$/,
  ],
];

for (const [title, wrong, message] of calls) {
  test(`refused: ${title}`, (t) => {
    t.throws(wrong, { instanceOf: TypeError, message });
  });
}

test('a forwarder starts with a function to tell, or not at all', (t) => {
  const balancer = new Balancer({ port: 0, host: '127.0.0.1', upstreams: 'a:1 weight=2,b:2' });
  const settings = balancer[settingsInForce]() as { upstreams: unknown };
  const forwarder = make('Forwarder', settings);
  t.throws(() => call(forwarder, 'start'), { instanceOf: TypeError, message: 'start(onEvent)' });
  t.throws(() => call(forwarder, 'start', 'x'), {
    instanceOf: TypeError,
    message: 'start(onEvent)',
  });
  t.deepEqual(
    call(forwarder, 'settings'),
    settings,
    'what is shown can be given, and is as before',
  );
  t.deepEqual(settings.upstreams, [
    { address: 'a:1', weight: 2 },
    { address: 'b:2', weight: 1 },
  ]);
});

test('a store refuses what is no unit, and goes on', async (t) => {
  const directory = join(temporaryDirectory(t), 'store');
  const native = make('Store', { ...store, directory });
  t.throws(() => call(native, 'open'), { instanceOf: TypeError, message: 'open(onProgress)' });
  t.throws(() => call(native, 'submit', new Uint8Array(8), 8), { code: 'ERR_ESPORA_CLOSED' });
  await call(native, 'open', () => undefined);
  const refused = (wrong: () => unknown, message: string): void => {
    t.throws(wrong, { instanceOf: TypeError, message });
  };
  refused(() => call(native, 'submit'), 'submit(bytes, count)');
  refused(() => call(native, 'submit', [1], 1), 'submit(bytes, count)');
  refused(() => call(native, 'submit', new Uint8Array(8), '8'), 'submit(bytes, count)');
  refused(() => call(native, 'submit', new Uint8Array(8), 0), 'submit: more bytes than there are');
  refused(() => call(native, 'submit', new Uint8Array(8), 9), 'submit: more bytes than there are');
  refused(() => call(native, 'submit', new Uint8Array(8).fill(255), 8), 'submit: no whole units');
  refused(() => call(native, 'submit', new Uint8Array(8).fill(1), 3), 'submit: no whole units');
  refused(() => call(native, 'read'), 'read(portion)');
  refused(() => call(native, 'read', {}), 'option "first" must be a number');
  refused(() => call(native, 'backup'), 'backup(directory)');
  t.is((native as unknown as NativeStore).stats().lastSeq, 0);
  await call(native, 'close');
  const again = await openStore(directory, {});
  t.is((await again.append(Buffer.from('x'))).seq, 1);
  await again.close();
});

test('a store shows as many records as were asked for', async (t) => {
  const directory = join(temporaryDirectory(t), 'store');
  const made = await openStore(directory, {});
  for (const text of ['a', 'b', 'c']) await made.append(Buffer.from(text));
  await made.close();
  for (const [limit, seqs] of [
    [0, []],
    [1, [1]],
    [2, [1, 2]],
    [4, [1, 2, 3]],
  ] as const) {
    const shown: NativeStoreItem[] = [];
    await loadNative().inspectStore(directory, { limit, frames: false }, (items) => {
      shown.push(...items.filter(({ kind }) => kind === 'record'));
    });
    t.deepEqual(
      shown.map(({ seq }) => seq),
      [...seqs],
    );
  }
});
