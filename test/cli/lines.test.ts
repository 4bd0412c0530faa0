// Lines for people and log lines: the small print.
import test from 'ava';
import { destination, entrance, listening, storeState, url } from '#espora/cli/lines.js';
import { textLine } from '#espora/cli/log.js';
import { plainTable } from '#espora/cli/plain-table.js';

const store = {
  records: 1,
  unprovenRecords: 0,
  lastSeq: 1,
  openMs: 1,
  directIo: true,
  fileSystem: 'ext4',
  tail: 'clean',
  readOnly: false,
  warnings: [],
};

test('an address that one can click', (t) => {
  t.is(url('0.0.0.0', 9999), 'http://localhost:9999');
  t.is(url('::', 1), 'http://localhost:1');
  t.is(url('::1', 1), 'http://[::1]:1');
  t.is(url('10.0.0.1', 80), 'http://10.0.0.1:80');
});

test('where a service listens', (t) => {
  t.is(listening({ addresses: ['0.0.0.0:1'] }), '0.0.0.0:1');
  t.is(
    listening({ addresses: ['127.0.0.1:1', '[::1]:1', '/a'] }),
    '127.0.0.1:1 and [::1]:1 and /a',
  );
});

test('where a person finds the whole', (t) => {
  const own = { host: 'localhost', port: 0, listenFds: undefined };
  const both = { port: 5, addresses: ['127.0.0.1:5', '[::1]:5'] };
  t.is(entrance(own, both), 'http://localhost:5');
  // Where a socket that was taken over listens is not what --host and --port say.
  const taken = { host: '0.0.0.0', port: undefined, listenFds: 1 };
  t.is(entrance(taken, { port: 6, addresses: ['[::]:6'] }), 'http://localhost:6');
  t.is(entrance(taken, { port: 6, addresses: ['10.0.0.1:6'] }), 'http://10.0.0.1:6');
  t.is(entrance(taken, { addresses: ['/run/a.sock'] }), '/run/a.sock');
  t.is(entrance(taken, { addresses: ['@abstract:1'] }), '@abstract:1');
  t.is(
    entrance(
      { ...own, listenFds: 2 },
      { port: 5, addresses: [...both.addresses, '/a', '[::1]:7'] },
    ),
    'http://localhost:5 and /a and http://[::1]:7',
  );
});

test('where a service sends its clients, and how', (t) => {
  t.is(destination({ mode: 'relay', upstreams: ['/a', '/b'] }), 'forwards to /a, /b');
  t.is(destination({ mode: 'handoff', db: '/c' }), 'hands over to /c');
});

test('what is in a store and what an answer means', (t) => {
  const strict = { data: 'd', fsyncInterval: 0 };
  t.is(storeState(store, strict), '1 transaction in d; each answer waits until it is on disk');
  t.regex(storeState({ ...store, records: 1_234_567 }, strict), /^1,234,567 transactions in d; /);
  t.is(
    storeState({ ...store, records: 0 }, { ...strict, fsyncInterval: 1500 }),
    '0 transactions in d; RELAXED: a crash can lose the last 1500ms of answers',
  );
  t.is(
    storeState({ ...store, readOnly: true }, strict),
    '1 transaction in d; READ-ONLY: there is no space for more',
  );
});

const record = JSON.stringify({
  level: 'warn',
  time: '2024-01-02T03:04:05.678Z',
  service: 'api 1',
  pid: 5,
  msg: 'hello',
  upstream: '/a',
  count: 3,
});

test('a log line for people has time, severity, service, message and the rest', (t) => {
  t.is(textLine(record, false), '03:04:05.678 warn  api 1: hello  upstream=/a count=3\n');
  t.is(
    textLine(record, true),
    '03:04:05.678 \u001b[33mwarn \u001b[39m api 1: hello  upstream=/a count=3\n',
  );
});

test('a table has columns two spaces apart and no trailing space', (t) => {
  t.is(
    plainTable(
      ['A', 'BB'],
      [
        ['aaa', 'b'],
        ['a', ''],
      ],
    ),
    'A    BB\naaa  b\na',
  );
});
