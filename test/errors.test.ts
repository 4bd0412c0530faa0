// The table of error codes agrees with the addon's codes, the exit codes and the documents.
import { readFileSync } from 'node:fs';
import test from 'ava';
import {
  EsporaError,
  errorTable,
  exitCodeOf,
  explain,
  isErrorCode,
  toEsporaError,
} from '#espora/errors.js';
import type { ErrorCode, ErrorRow } from '#espora/errors.js';

const codes = Object.keys(errorTable) as ErrorCode[];
const row = (code: ErrorCode): ErrorRow => errorTable[code];

/** The codes of the native enum, in its order. */
function nativeCodes(): string[] {
  const header = readFileSync('native/sys/status.h', 'utf8');
  const body = /enum class Code : uint8_t \{([^}]*)\}/.exec(header)![1]!;
  return [...body.matchAll(/^\s*([a-z_]+),/gm)]
    .map(([, name]) => name!)
    .filter((name) => name !== 'ok')
    .map((name) => `ERR_ESPORA_${name.toUpperCase()}`);
}

test('every code that the addon can give is in the table, in its order, and nothing is made up', (t) => {
  const native = nativeCodes();
  t.true(native.length > 10);
  t.deepEqual(codes.slice(0, native.length), native as ErrorCode[]);
  t.deepEqual(codes.slice(native.length), ['ERR_ESPORA_ADDON', 'ERR_ESPORA_SERVICE']);
});

test('meanings are sentences, remedies are not: they follow a message', (t) => {
  for (const code of codes) {
    t.regex(row(code).meaning, /^[A-Z][^\n]*\.$/);
    if (row(code).remedy !== undefined) t.regex(row(code).remedy!, /^[a-z][^\n]*[^.]$/);
  }
});

test('usage is 2; data that a restart cannot mend is 3; all else is 1', (t) => {
  const of = (exitCode: number): string[] =>
    codes.filter((code) => row(code).exitCode === exitCode);
  t.deepEqual(of(2), ['ERR_ESPORA_INVALID']);
  t.deepEqual(of(3), ['ERR_ESPORA_CORRUPT', 'ERR_ESPORA_VERSION', 'ERR_ESPORA_UNREADABLE']);
  t.is(exitCodeOf(new EsporaError('ERR_ESPORA_LOCKED', 'x')), 1);
  t.is(exitCodeOf(new Error('a bug')), 1);
});

test('only an outcome that nobody knows is not definite', (t) => {
  t.deepEqual(
    codes.filter((code) => !row(code).definite),
    ['ERR_ESPORA_IO', 'ERR_ESPORA_INDETERMINATE'],
  );
  t.false(new EsporaError('ERR_ESPORA_INDETERMINATE', 'x').definite);
  t.true(new EsporaError('ERR_ESPORA_NO_SPACE', 'x').definite);
});

test("the addon's errors become ours, with their cause; bugs stay what they are", (t) => {
  const native = Object.assign(new Error('no'), { code: 'ERR_ESPORA_LOCKED' });
  const error = toEsporaError(native);
  t.true(error instanceof EsporaError);
  t.like(error, { name: 'EsporaError', code: 'ERR_ESPORA_LOCKED', message: 'no', cause: native });
  t.is(toEsporaError(error), error);
  for (const other of [
    new Error('x'),
    Object.assign(new Error('x'), { code: 'EPIPE' }),
    'x',
    undefined,
  ]) {
    t.is(toEsporaError(other), other);
  }
  t.false(isErrorCode('toString'));
});

test('a message becomes a sentence, with what to do where that is known', (t) => {
  const say = (code: ErrorCode, message: string): string => explain(new EsporaError(code, message));
  t.is(say('ERR_ESPORA_IO', 'it broke'), 'it broke.');
  t.is(say('ERR_ESPORA_IO', 'it broke.'), 'it broke.');
  t.is(say('ERR_ESPORA_INVALID', 'did you mean X?'), 'did you mean X?');
  t.is(
    say('ERR_ESPORA_NO_SPACE', 'it is full'),
    'it is full; free some space on that file system, or inodes where there is space left (df -i).',
  );
  // The name of what the system said may say more than the code.
  const place = '/x: mkdirat: Read-only file system (EROFS)';
  t.is(
    say('ERR_ESPORA_PERMISSION', place),
    `${place}; mount that file system for writing or choose another place.`,
  );
  t.regex(say('ERR_ESPORA_PERMISSION', '/x: open: Permission denied (EACCES)'), /give this user/);
  t.regex(
    say('ERR_ESPORA_NO_SPACE', '/x: pwrite: Disk quota exceeded (EDQUOT)'),
    /quota raised\.$/,
  );
});
