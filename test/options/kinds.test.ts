// Each kind of value: what it takes, what it refuses and says, and that its text reads back as itself.
import fc from 'fast-check';
import test from 'ava';
import * as kinds from '#espora/options/kinds.js';
import type { Kind } from '#espora/options/kinds.js';
import { accounts } from '#espora/options/accounts.js';

const minute = 60_000;
const duration = kinds.duration({ minMs: 0, maxMs: 10 * minute });
const bytes = kinds.bytes({ min: 1, max: 2 ** 30 });

function taken<Input, Value>(kind: Kind<Input, Value>, input: unknown): Value | string {
  const parsed = kind.schema.safeParse(input);
  return parsed.success ? parsed.data : `refused: ${parsed.error.issues[0]!.message}`;
}

function refused<Input, Value>(kind: Kind<Input, Value>, input: unknown): boolean {
  return !kind.schema.safeParse(input).success;
}

test('a duration is milliseconds, or text with its unit', (t) => {
  for (const [input, ms] of [
    ['0', 0],
    ['0s', 0],
    ['0ms', 0],
    ['10ms', 10],
    ['1s', 1000],
    ['1.5s', 1500],
    ['2m', 2 * minute],
    ['0.001s', 1],
    ['10m', 10 * minute],
    [10, 10],
    [0, 0],
  ] as const) {
    t.is(taken(duration, input), ms, String(input));
  }
});

test('a duration without unit, negative, fractional, too long or of another type is refused', (t) => {
  for (const input of [
    '10',
    '1',
    '-1s',
    '+1s',
    '1 s',
    '1h',
    's',
    '',
    '1e3ms',
    '0.5ms',
    '0.0001s',
    '11m',
    '1.s',
    '.5s',
    'Infinity',
    0.5,
    -1,
    Number.NaN,
    Infinity,
    11 * minute,
    true,
    null,
    [],
    {},
    '１s',
    '1s\n',
  ]) {
    t.true(refused(duration, input), JSON.stringify(input));
  }
  t.is(
    taken(duration, '10'),
    'refused: it must be a time from 0 to 10m with its unit, such as 10ms, 1.5s or 2m',
  );
});

test('every duration reads back from its text', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 * minute }), (ms) => {
      return taken(duration, duration.format(ms)) === ms;
    }),
  );
  t.deepEqual([0, 1, 1000, 1500, 90_000, minute].map(duration.format), [
    '0',
    '1ms',
    '1s',
    '1500ms',
    '90s',
    '1m',
  ]);
});

test('a size is bytes, or text in KiB, MiB or GiB', (t) => {
  for (const [input, value] of [
    ['1', 1],
    ['4096', 4096],
    ['4KiB', 4096],
    ['64MiB', 2 ** 26],
    ['1GiB', 2 ** 30],
    [7, 7],
  ] as const) {
    t.is(taken(bytes, input), value);
  }
  for (const input of [
    '0',
    '-1',
    '1KB',
    '1k',
    '1.5KiB',
    'KiB',
    '',
    '2GiB',
    '1 KiB',
    '0x10',
    1.5,
    0,
    2 ** 31,
    Number.NaN,
    '9999999999999999999',
    '9007199254740991GiB',
  ]) {
    t.true(refused(bytes, input), String(input));
  }
  const stepped = kinds.bytes({ min: 4096, max: 2 ** 20, multipleOf: 4096 });
  t.is(taken(stepped, '8KiB'), 8192);
  t.true(refused(stepped, '6KiB'));
  const orNone = kinds.bytes({ min: 0, max: 2 ** 20 });
  for (const input of ['0', 0, '0KiB']) t.is(taken(orNone, input), 0);
});

test('every size reads back from its text', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 30 }), (value) => {
      return taken(bytes, bytes.format(value)) === value;
    }),
  );
  t.deepEqual([1, 1023, 1024, 2 ** 20, 3 * 2 ** 20].map(bytes.format), [
    '1',
    '1023',
    '1KiB',
    '1MiB',
    '3MiB',
  ]);
});

test('a port is 0 to 65535, as digits or a number', (t) => {
  const port = kinds.port();
  for (const input of ['0', '1', '65535', 80]) t.is(taken(port, input), Number(input));
  for (const input of [
    '65536',
    '-1',
    '1.0',
    '1e3',
    '0x50',
    ' 80',
    '80 ',
    '',
    'http',
    80.5,
    65536,
  ]) {
    t.true(refused(port, input), String(input));
  }
});

test('the mode of a socket is octal', (t) => {
  const mode = kinds.fileMode();
  t.is(taken(mode, '600'), 0o600);
  t.is(taken(mode, '0660'), 0o660);
  t.is(taken(mode, 0o666), 0o666);
  for (const input of ['6', '888', '0o600', '1777', '-600', 0o1000, -1, 1.5, '']) {
    t.true(refused(mode, input), String(input));
  }
  for (const value of [0, 0o7, 0o60, 0o600, 0o777]) {
    t.is(taken(mode, mode.format(value)), value);
  }
});

test('an address with a slash is a unix socket, any other is host:port', (t) => {
  t.deepEqual(kinds.parseAddress('/run/db.sock'), { unixSocket: '/run/db.sock' });
  t.deepEqual(kinds.parseAddress('./db.sock'), { unixSocket: './db.sock' });
  t.deepEqual(kinds.parseAddress('localhost:9999'), { host: 'localhost', port: 9999 });
  t.deepEqual(kinds.parseAddress('10.0.0.1:1'), { host: '10.0.0.1', port: 1 });
  t.deepEqual(kinds.parseAddress('[::1]:65535'), { host: '::1', port: 65535 });
  for (const input of [
    '',
    'localhost',
    ':80',
    'localhost:',
    'localhost:0',
    'localhost:65536',
    'a:b',
    '::1:80',
    '[::1]',
    'a b:80',
    'localhost:80:80',
    'host:080000',
  ]) {
    t.is(kinds.parseAddress(input), undefined, input);
  }
});

test('a socket path of 107 bytes is taken, one of 108 is refused and says so', (t) => {
  const path = `/${'x'.repeat(106)}`;
  t.is(taken(kinds.socketPath(), path), path);
  t.regex(String(taken(kinds.socketPath(), `${path}x`)), /at most 107 bytes and this one has 108/);
  // Bytes count, not characters.
  t.regex(String(taken(kinds.address(), `/${'é'.repeat(54)}`)), /has 109/);
  t.true(refused(kinds.socketPath(), ''));
  t.true(refused(kinds.socketPath(), '/a\0b'));
});

test('upstreams have weights, as text or as objects', (t) => {
  const upstreams = kinds.upstreams();
  t.deepEqual(taken(upstreams, '/a weight=2, b:1   weight=1000,c:1 weight=1'), [
    '/a weight=2',
    'b:1 weight=1000',
    'c:1',
  ]);
  t.deepEqual(taken(upstreams, [{ address: '/a', weight: 3 }, { address: 'b:1' }, 'c:1']), [
    '/a weight=3',
    'b:1',
    'c:1',
  ]);
  t.deepEqual(kinds.parseUpstream('/a weight=3'), { address: '/a', weight: 3 });
  for (const input of [
    '/a weight=0',
    '/a weight=1001',
    '/a weight=x',
    '/a weight=',
    'b:1 weight=1.5',
    [{ address: '/a', weight: 0 }],
    [{ weight: 1 }],
    [{ address: '/a', wieght: 1 }],
    'b:1 hurry',
  ]) {
    t.true(refused(upstreams, input), JSON.stringify(input));
  }
});

test('user ids', (t) => {
  const users = kinds.userIds();
  t.deepEqual(taken(users, '33, 1000'), [33, 1000]);
  t.deepEqual(taken(users, [0, 4_294_967_294]), [0, 4_294_967_294]);
  for (const input of ['', 'root', '1,,2', '-1', '4294967295', [], [0.5]]) {
    t.true(refused(users, input), JSON.stringify(input));
  }
});

test('networks, request paths and ranges of status codes', (t) => {
  const networks = kinds.networks();
  t.deepEqual(taken(networks, '10.0.0.0/8, ::1,unix'), ['10.0.0.0/8', '::1', 'unix']);
  for (const input of ['', '10.0.0.0/33', '::/129', '10.0.0', 'localhost', '10.0.0.0/8/9', []]) {
    t.true(refused(networks, input), JSON.stringify(input));
  }
  const path = kinds.requestPath();
  t.is(taken(path, '/up?a=1'), '/up?a=1');
  for (const input of ['', 'up', '/a b', '/a\r\nHost: x', '/#x', '/é'])
    t.true(refused(path, input));
  const status = kinds.statusRange();
  t.deepEqual(taken(status, '200-399'), { min: 200, max: 399 });
  t.deepEqual(taken(status, 204), { min: 204, max: 204 });
  t.deepEqual(taken(status, { min: 200, max: 204 }), { min: 200, max: 204 });
  t.true(refused(status, { min: 204, max: 200 }));
  t.is(status.format({ min: 204, max: 204 }), '204');
  for (const input of ['399-200', '99', '600', '200-', 'ok']) t.true(refused(status, input));
});

test('addresses are separated by commas, or a list', (t) => {
  const addresses = kinds.upstreams();
  t.deepEqual(taken(addresses, '/a.sock, localhost:1,./localhost:1/a'), [
    '/a.sock',
    'localhost:1',
    './localhost:1/a',
  ]);
  t.deepEqual(taken(addresses, ['/a.sock']), ['/a.sock']);
  for (const input of [
    '',
    ',',
    '/a,',
    'a',
    [],
    [''],
    ['a,b'],
    [1],
    Array.from({ length: 257 }, (_, i) => `/${String(i)}`),
  ]) {
    t.true(refused(addresses, input), JSON.stringify(input));
  }
  t.regex(String(taken(addresses, `localhost:1,/${'x'.repeat(107)}`)), /at most 107 bytes/);
});

test('the same place twice is refused', (t) => {
  for (const input of [
    '/a,b:1,/a',
    '/a weight=2,/a',
    'B.test:80,b.test:80',
    'b.test.:80,b.test:80',
    ['/a', { address: '/a', weight: 3 }],
  ]) {
    t.regex(String(taken(kinds.upstreams(), input)), /is there twice: name it once/);
  }
});

test('URLs and what looks like a host and port are no paths, and the right form is said', (t) => {
  for (const [input, said] of [
    ['http://host', /is a URL: write host:port alone, such as "host:8080"/],
    ['https://host/path', /such as "host:8080"/],
    ['tcp://10.0.0.1:9001', /such as "10\.0\.0\.1:9001"/],
    ['tcp://[::1]:9001/', /such as "\[::1\]:9001"/],
    ['unix:/run/a.sock', /write the path alone, "\/run\/a\.sock"/],
    ['unix:///run/a.sock', /write the path alone, "\/run\/a\.sock"/],
    ['unix:run/a.sock', /write the path alone, "run\/a\.sock"/],
    ['localhost:8080/', /neither host:port nor a path/],
    ['localhost:8080/up', /neither host:port nor a path/],
  ] as const) {
    t.regex(String(taken(kinds.address(), input)), said);
    t.regex(String(taken(kinds.upstreams(), input)), said);
  }
  t.regex(String(taken(kinds.socketPath(), 'unix:/run/a.sock')), /write the path alone/);
  t.is(taken(kinds.address(), '/run/a:1/b.sock'), '/run/a:1/b.sock');
});

test('a choice takes its names only', (t) => {
  const choice = kinds.choice(['a', 'b']);
  t.is(taken(choice, 'a'), 'a');
  t.is(taken(choice, 'd'), 'refused: it must be a or b');
  t.true(refused(choice, 'toString'));
  t.true(refused(choice, 1));
  t.is(taken(kinds.choice(['a']), 'b'), 'refused: it must be a');
  const renamed = kinds.choice(['a', 'b'], { old: 'a' });
  t.is(taken(renamed, 'old'), 'a');
  t.is(taken(renamed, 'older'), 'refused: it must be a or b');
  t.true(refused(renamed, 'toString'));
});

test('accounts are a list, a JSON array, or the path of a file', (t) => {
  const kind = accounts();
  const table = [{ id: 1, limit: 5 }];
  t.deepEqual(taken(kind, table), table);
  t.deepEqual(taken(kind, ' [{"limit": 5, "id": 1}]'), table);
  t.is(taken(kind, 'accounts.json'), 'accounts.json');
  t.deepEqual(taken(kind, kind.format(table)), table);
  t.regex(JSON.stringify(taken(kind, [...table, ...table])), /account 1 is in the table twice/);
  for (const input of [
    '[]',
    '[{"id": 0, "limit": 1}]',
    '[{"id": 1}]',
    '[{"id": 1, "limit": -1}]',
    '[{"id": 1.5, "limit": 1}]',
    '[{"id": 1, "limit": 9007199254740992}]',
    '[{"id": 4294967296, "limit": 1}]',
    '[1]',
    '[',
    '',
    5,
    null,
    [{ id: 1, limit: 1, name: 'x' }],
    Array.from({ length: 10_001 }, (_, id) => ({ id: id + 1, limit: 0 })),
  ]) {
    t.true(refused(kind, input), JSON.stringify(input)?.slice(0, 80));
  }
});
