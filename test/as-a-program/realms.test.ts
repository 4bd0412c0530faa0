// The library in another realm than Node.js's own, as test runners load it (vm.SourceTextModule), and
// twice in one process: errors keep their code and are EsporaErrors, values of either realm are taken.
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { exitCodeOf, toEsporaError } from '#espora/errors.js';
import type * as errors from '#espora/errors.js';
import { Balancer, EsporaError, openStore, record, u8 } from '#espora/index.js';
import type * as library from '#espora/index.js';
import { outputOf } from '#espora/lab/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const fixture = fileURLToPath(new URL('../fixtures/store-realm.js', import.meta.url));

for (const realm of ['bare', 'with globals', 'worker']) {
  test(`a realm of its own: ${realm}`, async (t) => {
    const modules = ['--experimental-vm-modules', '--no-warnings'];
    const stdout = await outputOf(process.execPath, [
      ...modules,
      fixture,
      realm,
      temporaryDirectory(t),
    ]);
    t.deepEqual(JSON.parse(stdout), {
      locked: ['EsporaError', 'ERR_ESPORA_LOCKED', true, true, true],
      missing: ['EsporaError', 'ERR_ESPORA_NOT_FOUND', true, true, true],
      used: ['EsporaError', 'ERR_ESPORA_ADDRESS_IN_USE', true, true, true],
      ours: 1,
      theirs: 2,
      batch: 4,
      aborted: 'enough',
      rows: ['ours', 'theirs', 'ours', 'theirs'],
      field: [7, 1],
    });
  });
}

test('errors of another copy of the library are EsporaErrors; no others are', async (t) => {
  const copy = (await import(
    new URL('../../../dist/errors.js?again', import.meta.url).href
  )) as typeof errors;
  t.not(copy.EsporaError, EsporaError);
  const theirs = new copy.EsporaError('ERR_ESPORA_CORRUPT', 'of the copy');
  t.true(theirs instanceof EsporaError);
  t.is(toEsporaError(theirs), theirs);
  t.is(exitCodeOf(theirs), 3);
  t.deepEqual(Object.getOwnPropertySymbols(theirs), []);
  class Special extends EsporaError {}
  t.false(theirs instanceof Special);
  t.true(new Special('ERR_ESPORA_IO', 'x') instanceof Special);
  t.true(new Special('ERR_ESPORA_IO', 'x') instanceof EsporaError);
  for (const other of [new Error('x'), null, undefined, 7, 'x', {}, Object.create(null)]) {
    t.false((other as unknown) instanceof EsporaError);
    t.is(toEsporaError(other), other);
  }
});

test('a type made by another copy of the library is taken', async (t) => {
  const copy = (await import(
    new URL('../../../dist/index.js?again', import.meta.url).href
  )) as typeof library;
  const type = copy.record({ a: copy.u8() });
  const directory = temporaryDirectory(t);
  const store = await openStore(directory, { record: type, segmentBytes: 1 << 20 });
  await store.append({ a: 7 });
  t.deepEqual((await store.get(1))!.value, { a: 7 });
  await t.throwsAsync(store.append({ a: 256 }), {
    code: 'ERR_ESPORA_INVALID',
    instanceOf: EsporaError,
  });
  await t.throwsAsync(copy.openStore(directory, { record: record({ a: u8() }) }), {
    code: 'ERR_ESPORA_LOCKED',
    instanceOf: EsporaError,
  });
  await store.close();
  t.throws(() => new copy.Balancer({ port: 0, upstreams: [] }), {
    instanceOf: EsporaError,
  });
  t.truthy(Balancer);
});
