// Limits that both languages know: what TypeScript refuses is what C++ could not take, and no more.
import { readFileSync } from 'node:fs';
import test from 'ava';
import { accountsMax } from '#espora/options/accounts.js';
import { unixPathBytesMax, upstreamsMax, weightMax } from '#espora/options/kinds.js';
import { optionNames, optionOf } from '#espora/options/table.js';
import type { OptionName } from '#espora/options/table.js';
import { inheritedDescriptors } from '#espora/services/service.js';

/** A constant of a header of the addon; those of sys/limits.h unless said otherwise. */
function native(name: string, file = 'native/sys/limits.h'): number {
  const all = readFileSync(file, 'utf8').matchAll(
    new RegExp(`constexpr \\w+ ${name} =([^;]+);`, 'g'),
  );
  // The last: where there are two, the first is that of the simulation's small build.
  const found = [...all].at(-1);
  if (found === undefined) throw new Error(`${file} has no ${name}`);
  // Of this kind: 64 * 1024, 10'000, uint64_t{256} << 20, (int64_t{1} << 53) - 1.
  const text = found[1]!.replace(/\w+\{(\d+)\}/g, '$1').replaceAll("'", '');
  const [, shifted, by, product, less = '0'] =
    /^\s*\(?(?:(\d+) << (\d+)|([\d *]+))\)?(?: - (\d+))?\s*$/.exec(text)!;
  const value =
    product === undefined
      ? Number(shifted) * 2 ** Number(by)
      : product.split('*').reduce((all, factor) => all * Number(factor), 1);
  return value - Number(less);
}

const takes = (name: OptionName, value: unknown): boolean =>
  optionOf(name).kind.schema.safeParse(value).success;

test('constants are the same', (t) => {
  t.is(upstreamsMax, native('upstreams_max'));
  t.is(weightMax, native('upstream_weight_max'));
  t.is(unixPathBytesMax, native('unix_path_bytes_max'));
  t.is(accountsMax, native('accounts_max'));
  t.deepEqual(inheritedDescriptors(1), [native('first_inherited', 'native/binding/values.cc')]);
});

for (const [option, name] of [
  ['ejectAfter', 'eject_after_max'],
  ['bodyBytesMax', 'http_body_bytes_max'],
  ['segmentBytes', 'segment_bytes_max'],
] as const) {
  test(`${option} is at most limits::${name}`, (t) => {
    t.true(takes(option, native(name)));
    t.false(
      takes(option, native(name) + (option === 'segmentBytes' ? native('segment_bytes_step') : 1)),
    );
  });
}

test('segments have the smallest size and the steps of the addon', (t) => {
  const [least, step] = [native('segment_bytes_min'), native('segment_bytes_step')];
  t.true(takes('segmentBytes', least));
  t.true(takes('segmentBytes', least + step));
  t.false(takes('segmentBytes', least - step));
  t.false(takes('segmentBytes', least + step / 2));
});

test('an account has at most the limit that the addon counts to', (t) => {
  const most = native('amount_max');
  t.true(takes('accounts', [{ id: 1, limit: most }]));
  t.false(takes('accounts', [{ id: 1, limit: most + 1 }]));
});

test('the addon takes the longest duration of the table', (t) => {
  const most = native('milliseconds_max', 'native/binding/values.h');
  t.true(takes('sessionTimeout', most));
  const durations = optionNames.filter((name) => optionOf(name).kind.placeholder === '<time>');
  t.true(durations.length > 10);
  for (const name of durations) t.false(takes(name, most + 1), name);
});
