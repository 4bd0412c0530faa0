// Lines as strace(1) prints them become what the order audit looks at; calls that failed or never happened
// become nothing.
import test from 'ava';
import { parseTrace } from '../crash/strace.js';
import { eventsOf } from './trace-events.js';

const hex = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');

const events = (...lines: string[]): unknown[] =>
  eventsOf(parseTrace(lines.join('\n'))).map(({ begin, end, ...event }) => ({
    ...event,
    ...(begin === end ? {} : { spans: end - begin }),
  }));

test('files: opened, written, flushed, renamed, closed', (t) => {
  t.deepEqual(
    events(
      `1 openat(AT_FDCWD, "${hex('data')}", O_RDONLY|O_CLOEXEC|O_DIRECTORY) = 3`,
      `1 openat(3, "${hex('a.tmp')}", O_RDWR|O_CREAT|O_EXCL|O_DIRECT|O_CLOEXEC, 0600) = 4`,
      `1 pwrite64(4, "${hex('abc')}", 3, 4096) = 3`,
      `1 pwrite64(4, "${hex('abc')}"..., 9, 8192) = 9`,
      `1 fdatasync(4)                            = 0`,
      `1 renameat(3, "${hex('a.tmp')}", 3, "${hex('b')}") = 0`,
      `1 fsync(3)                                = -1 EIO (Input/output error)`,
      `1 close(4)                                = 0`,
    ),
    [
      { kind: 'open', fd: 3, directory: undefined, name: 'data', creates: false },
      { kind: 'open', fd: 4, directory: 3, name: 'a.tmp', creates: true },
      { kind: 'write', fd: 4, offset: 4096, bytes: Buffer.from('abc'), count: 3 },
      { kind: 'write', fd: 4, offset: 8192, bytes: Buffer.from('abc'), count: 9 },
      { kind: 'flush', fd: 4, succeeded: true },
      { kind: 'rename', directory: 3, from: 'a.tmp', to: 'b' },
      { kind: 'flush', fd: 3, succeeded: false },
      { kind: 'close', fd: 4 },
    ],
  );
});

test('sockets: what was sent and received, as far as it was', (t) => {
  t.deepEqual(
    events(
      '1 accept4(5, NULL, NULL, SOCK_CLOEXEC|SOCK_NONBLOCK) = 6',
      `1 recvfrom(6, "${hex('GET')}", 16384, 0, NULL, NULL) = 3`,
      `1 recvfrom(6, "${hex('GE')}", 2, MSG_PEEK, NULL, NULL) = 2`,
      '1 recvfrom(6, "", 16384, 0, NULL, NULL)  = 0',
      '1 recvfrom(6, 0x7f00, 16384, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)',
      `1 sendto(6, "${hex('HTTP')}", 4, MSG_NOSIGNAL, NULL, 0) = 2`,
      `1 sendmsg(6, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="${hex('ab')}", iov_len=2}, ` +
        `{iov_base="${hex('cd')}", iov_len=2}], msg_iovlen=2, msg_controllen=0, msg_flags=0}, MSG_NOSIGNAL) = 3`,
    ),
    [
      { kind: 'accept', fd: 6 },
      { kind: 'receive', fd: 6, bytes: Buffer.from('GET') },
      { kind: 'send', fd: 6, bytes: Buffer.from('HT') },
      { kind: 'send', fd: 6, bytes: Buffer.from('abc') },
    ],
  );
});

test('a call that the tracer answered never happened; one that it only delayed did', (t) => {
  t.deepEqual(
    events(
      '1 fdatasync(4) = 0 (INJECTED)',
      '1 fdatasync(4) = 0 (DELAYED)',
      `1 pwrite64(4, "${hex('abc')}", 3, 0) = 3 (INJECTED)`,
    ),
    [
      { kind: 'flush', fd: 4, succeeded: false },
      { kind: 'flush', fd: 4, succeeded: true },
    ],
  );
});

test('calls of two threads at once: each begins and ends where it did', (t) => {
  t.deepEqual(
    events(
      '1 fdatasync(4 <unfinished ...>',
      `2 pwrite64(7, "${hex('abc')}", 3, 0) = 3`,
      '1 <... fdatasync resumed>)                 = 0',
    ),
    [
      { kind: 'write', fd: 7, offset: 0, bytes: Buffer.from('abc'), count: 3 },
      { kind: 'flush', fd: 4, succeeded: true, spans: 2 },
    ],
  );
});
