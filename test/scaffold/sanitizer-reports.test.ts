// Which sanitizer reports of a run on stock Node.js are taken seriously: all, but those that are about
// Node.js itself.

import { join } from 'node:path';
import test from 'ava';

import { checkout } from './project.js';

const { addressesIn, isForeign, splitReports, withNames } = (await import(
  join(checkout, 'scripts/lib/sanitizer-reports.mjs')
)) as {
  addressesIn: (report: string) => string[];
  isForeign: (report: string) => boolean;
  splitReports: (text: string) => string[];
  withNames: (report: string, names: Map<string, string>) => string;
};

const thread = `  Thread T21 'espora-db' (tid=2, running) created by main thread at:
    #0 pthread_create tsan_interceptors_posix.cpp:1001 (libtsan.so+0x5e686)
    #1 <null> <null> (espora.node+0x2593f)
`;

const race = (writer: string, reader: string, location = ''): string =>
  `WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 8 at 0x7ba000000570 by thread T21:
    #0 pwrite sanitizer_common_interceptors.inc:1168 (libtsan.so+0x501ed)
    #1 <null> <null> ${writer}

  Previous read of size 8 at 0x7ba000000570 by main thread:
    #0 ${reader}

${location}${thread}`;

const descriptor = (
  creator: string,
): string => `  Location is file descriptor 87 created by main thread at:
    #0 socket tsan_interceptors_posix.cpp:1708 (libtsan.so+0x428e8)
    #1 ${creator}

`;

test('a race between threads of Node.js is foreign, whoever made the thread', (t) => {
  t.true(isForeign(race('(node+0x1d65445)', 'v8::platform::X <null> (node+0x1)')));
});

test('a race with one access of ours is ours', (t) => {
  t.false(isForeign(race('(espora.node+0xa352e)', 'v8::platform::X <null> (node+0x1)')));
  t.false(isForeign(race('(node+0xa352e)', '<null> <null> (espora.node+0x1)')));
  t.false(isForeign(race('(espora.node+0x1)', '<null> <null> (espora.node+0x2)')));
});

test("V8's own work below a callback is foreign on JavaScript's thread, and ours on one of ours", (t) => {
  const stack = (by: string): string => `WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 8 at 0x7b3000007538 by thread T3:
    #0 operator delete(void*) tsan_new_delete.cpp:150 (libtsan.so+0x86c3d)
    #1 v8::platform::DefaultJobWorker::~DefaultJobWorker() <null> (node+0x1d5aa65)

  Previous write of size 1 at 0x7b3000007538 by ${by}:
    #0 pthread_mutex_destroy tsan_interceptors_posix.cpp:1312 (libtsan.so+0x42191)
    #1 v8::platform::DefaultJobState::~DefaultJobState() <null> (node+0x1d65445)
    #2 <null> <null> (espora.node+0x1)

${thread}`;
  t.true(isForeign(stack('main thread')));
  t.true(isForeign(stack('main thread (mutexes: write M3)')));
  t.false(isForeign(stack('thread T21')));
  // A worker's thread is one of JavaScript too.
  const called =
    '    #3 v8impl::ThreadSafeFunction::AsyncCb(uv_async_s*) <null> (node+0xc6bd97)\n\n';
  t.true(
    isForeign(
      stack('thread T11').replace(
        '#2 <null> <null> (espora.node+0x1)\n\n',
        `#2 <null> <null> (espora.node+0x1)\n${called}`,
      ),
    ),
  );
});

test('what strace, or a signal handler of Node.js, does under the preloaded sanitizer is foreign', (t) => {
  const report = (frame: string): string =>
    `WARNING: ThreadSanitizer: signal-unsafe call inside of a signal (pid=1)\n    #0 free (libtsan.so+0x1)\n    #1 <null> <null> ${frame}`;
  t.true(isForeign(report('(strace+0x902d1)')));
  t.true(isForeign(report('(node+0xc01531)')));
  t.false(isForeign(report('(espora.node+0x902d1)')));
});

test('a race on a descriptor is foreign only where Node.js opened it', (t) => {
  const ofLibuv = descriptor('uv__socket ../deps/uv/src/unix/core.c:498 (node+0x18acc43)');
  t.true(isForeign(race('(espora.node+0xa352e)', '[failed to restore the stack]', ofLibuv)));
  const unnamed = race(
    '(espora.node+0xa352e)',
    'socketpair tsan_interceptors_posix.cpp:1716 (libtsan.so+0x4cebd)\n    #1 uv_socketpair ../deps/uv/src/unix/tcp.c:466 (node+0x18ba87d)',
  );
  t.true(isForeign(unnamed));
  t.false(isForeign(unnamed.replace('(node+0x18ba87d)', '(espora.node+0x1)')));
  const ours = descriptor('<null> <null> (espora.node+0x77)');
  t.false(isForeign(race('(espora.node+0xa352e)', '[failed to restore the stack]', ours)));
});

test('the end of a descriptor that nobody was seen to open is foreign where the other access is lost', (t) => {
  const closed = (by: string, location = ''): string => `WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 8 at 0x7b0400014050 by thread T21:
    #0 close tsan_interceptors_posix.cpp:1749 (libtsan.so+0x4002c)
    #1 <null> <null> (espora.node+0x12dd3c)

  Previous write of size 8 at 0x7b0400014050 by ${by}

${location}${thread}`;
  const lost = '[failed to restore the stack]';
  t.true(isForeign(closed(`main thread:\n    ${lost}`)));
  const opened = closed(`main thread:\n    ${lost}`).replace('#0 close ', '#0 eventfd ');
  t.true(isForeign(opened));
  t.false(isForeign(opened.replace('main thread', 'thread T20')));
  t.false(isForeign(closed(`thread T20:\n    ${lost}`)));
  t.false(isForeign(closed('main thread:\n    #0 <null> <null> (espora.node+0x1)')));
  t.false(
    isForeign(closed(`main thread:\n    ${lost}`, descriptor('<null> <null> (espora.node+0x77)'))),
  );
  const memory = closed(`main thread:\n    ${lost}`).replace('#0 close ', '#0 memcpy ');
  t.false(isForeign(memory));
});

for (const report of [
  'WARNING: ThreadSanitizer: lock-order-inversion (potential deadlock) (pid=1)\n    #0 (node+0x1)',
  'WARNING: ThreadSanitizer: thread leak (pid=1)\n    #0 (node+0x1)',
  '==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n    #0 (node+0x1)',
  'native/store/engine.cc:12:3: runtime error: signed integer overflow',
]) {
  test(`never foreign: ${report.split('\n')[0]!}`, (t) => {
    t.false(isForeign(report));
  });
}

test('a file of several reports is taken apart', (t) => {
  const line = '==================';
  t.deepEqual(splitReports(`${line}\na\nb\n${line}\n${line}\nc\n${line}\n`), ['a\nb', 'c']);
  t.deepEqual(splitReports(''), []);
  t.deepEqual(splitReports('ThreadSanitizer: reported 4 warnings\n'), []);
});

test('addresses in the addon get names where there are any', (t) => {
  const report = race('(espora.node+0xa1)', '<null> <null> (espora.node+0xb2)');
  t.deepEqual(addressesIn(report), ['0xa1', '0xb2', '0x2593f']);
  const named = withNames(report, new Map([['0xa1', 'pwrite_all at engine.cc:1']]));
  t.regex(named, /#1 pwrite_all at engine\.cc:1\n/);
  t.regex(named, /#0 <null> <null> \(espora\.node\+0xb2\)/);
});
