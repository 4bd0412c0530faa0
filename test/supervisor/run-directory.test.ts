// The directory of the services' sockets: where it may be, what is refused, and what is left of it.
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { openRunDirectory } from '#espora/supervisor/run-directory.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

test('one of its own is private, and goes with all that is in it', (t) => {
  const own = openRunDirectory();
  const { path } = own;
  const remove = (): void => {
    own.remove();
  };
  t.teardown(remove);
  t.true(own.isPrivate);
  t.is(statSync(path).mode & 0o777, 0o700);
  const other = openRunDirectory();
  t.teardown(() => {
    other.remove();
  });
  t.not(other.path, path);
  writeFileSync(join(path, 'a.sock'), '');
  remove();
  t.false(existsSync(path));
  t.notThrows(remove);
});

test('one that is missing is made for us alone, and what was made goes again', (t) => {
  const directory = temporaryDirectory(t);
  const made = openRunDirectory(join(directory, 'a/b'));
  t.is(made.path, join(directory, 'a/b'));
  t.false(made.isPrivate);
  t.is(statSync(made.path).mode & 0o777, 0o700);
  made.remove();
  t.false(existsSync(join(directory, 'a')));
  t.true(existsSync(directory));
});

test('one that was there stays, and so does what somebody else put into a new one', (t) => {
  const directory = temporaryDirectory(t);
  const there = join(directory, 'there');
  mkdirSync(there);
  openRunDirectory(there).remove();
  t.true(existsSync(there));
  const made = openRunDirectory(join(directory, 'new'));
  const other = join(made.path, 'other.sock');
  writeFileSync(other, '');
  made.remove();
  t.true(existsSync(other));
});

test('one into which others may write, and one that cannot be made, are refused with why', (t) => {
  const directory = temporaryDirectory(t);
  for (const [mode, shared] of [
    [0o722, true],
    [0o720, true],
    [0o702, true],
    [0o755, false],
  ] as const) {
    const path = join(directory, mode.toString(8));
    mkdirSync(path);
    chmodSync(path, mode);
    if (!shared) {
      t.is(openRunDirectory(path).path, path);
      continue;
    }
    t.throws(() => openRunDirectory(path), {
      code: 'ERR_ESPORA_INVALID',
      message: `the run directory ${path} is not ours alone: it must belong to this user, and no other user may have the right to write to it`,
    });
  }
  const file = join(directory, 'file');
  writeFileSync(file, '');
  t.throws(() => openRunDirectory(join(file, 'a')), {
    code: 'ERR_ESPORA_INVALID',
    message: `the run directory ${file}/a cannot be made (ENOTDIR)`,
  });
});
