// What a database says of the store that it opened: only what it found out.
import test from 'ava';
import { report } from '#espora/services/database.js';
import type { NativeDatabaseStarted } from '#espora/native.js';

const started: NativeDatabaseStarted = {
  port: 9999,
  addresses: ['0.0.0.0:9999'],
  records: 0,
  unprovenRecords: 0,
  lastSeq: 0,
  openMs: 1,
  directIo: true,
  fileSystem: 'ext4',
  tail: 'clean',
  readOnly: false,
  whole: true,
  warnings: [],
};

for (const [directIo, readOnly, fileSystem, said] of [
  [true, false, 'ext4', /^$/],
  [false, false, 'zfs', /^zfs refuses O_DIRECT/],
  // There was no space for a segment, and so nothing that could have been opened that way.
  [false, true, 'ext4', /^$/],
  // A loss of everything matters more than how it is written, and is said alone.
  [false, false, 'tmpfs', /^the data directory is on tmpfs, that is memory[^\n]*$/],
  [false, true, 'tmpfs', /on tmpfs, that is memory/],
  [false, false, 'ramfs', /on ramfs, that is memory/],
  [true, false, 'overlayfs', /on overlayfs, that is a container's own layer/],
  [true, false, 'overlay', /on overlay, that is a container's own layer/],
] as const) {
  test(`direct: ${directIo}, read-only: ${readOnly}, ${fileSystem}`, (t) => {
    const { store } = report({ ...started, directIo, readOnly, fileSystem });
    t.regex(store.warnings.join('\n'), said);
  });
}

test('what could not be secured on a full disk is said', (t) => {
  const { store } = report({ ...started, readOnly: true, whole: false });
  t.regex(store.warnings.join('\n'), /^there is no space to secure the newest transactions/);
});

for (const [fileSystem, remedy] of [
  ['btrfs', /chattr \+C/],
  ['zfs', /refreservation/],
  ['bcachefs', /nocow/],
] as const) {
  test(`where reserved space is not certain is said: ${fileSystem}`, (t) => {
    const text = report({ ...started, fileSystem }).store.warnings.join('\n');
    t.true(text.startsWith(`${fileSystem} copies on write: `), text);
    t.regex(text, remedy);
  });
}
