// Reports as tables, and the machine's facts.

import test from 'ava';
import { mountOf, parseMounts } from '../../bench/lib/machine.js';
import { parseCpuList, pinned } from '../../bench/lib/pinning.js';
import {
  formatBudget,
  formatNumber,
  renderMarkdown,
  renderTerminal,
} from '../../bench/lib/render.js';
import type { Report } from '../../bench/lib/report.js';
import { budget } from '../../bench/lib/report.js';

const figure = (median: number, min = median, max = median) => ({ median, min, max, rounds: 3 });

test('numbers have three significant digits and no exponent', (t) => {
  for (const [value, text] of [
    [0, '0'],
    [0.00123456, '0.00123'],
    [0.999, '0.999'],
    [1, '1.00'],
    [9.999, '10.0'],
    [12.345, '12.3'],
    [99.96, '100'],
    [123.456, '123'],
    [1234.5, '1,230'],
    [98_765_432, '98,800,000'],
    [-1234.5, '-1,230'],
    [NaN, '–'],
    [Infinity, '–'],
  ] as const) {
    t.is(formatNumber(value), text, String(value));
  }
});

test('a budget says whether it holds, by the median', (t) => {
  const good = budget('x', figure(1.1, 0.9, 1.4), '≤', 1.15);
  t.true(good.holds);
  t.is(formatBudget(good), 'x: 1.10 (0.900–1.40), budget ≤ 1.15: holds');
  t.true(budget('x', figure(1.15), '≤', 1.15).holds);
  const bad = budget('x', figure(1.16), '≤', 1.15);
  t.false(bad.holds);
  t.regex(formatBudget(bad), /does NOT hold$/);
  t.true(budget('x', figure(0.8), '≥', 0.8).holds);
  t.false(budget('x', figure(0.79), '≥', 0.8).holds);
  t.false(budget('x', figure(NaN), '≤', 1).holds);
  t.false(budget('x', figure(NaN), '≥', 1).holds);
});

const report: Report = {
  trial: 'thing',
  title: 'a title',
  columns: [
    { key: 'case', title: 'case' },
    { key: 'variant', title: 'variant | kind' },
    { key: 'time', title: 'time' },
    { key: 'speed', title: 'speed', suffix: '×' },
  ],
  rows: [
    { case: 'one', variant: 'a', time: figure(10, 9, 12), speed: 1 },
    { case: 'one', variant: 'b|c', time: figure(5) },
    { case: 'two', variant: 'a', time: figure(7), speed: figure(2) },
  ],
  budgets: [budget('x', figure(1), '≤', 2)],
  notes: ['A note.'],
};

test('Markdown: one line per row, pipes escaped, a case named once, nothing for a missing value', (t) => {
  t.is(
    renderMarkdown(report),
    [
      '**thing**: a title',
      '',
      '| case | variant \\| kind | time | speed |',
      '| --- | --- | ---: | ---: |',
      '| one | a | 10.0 (9.00–12.0) | 1.00× |',
      '|  | b\\|c | 5.00 (5.00–5.00) |  |',
      '| two | a | 7.00 (7.00–7.00) | 2.00× (2.00–2.00) |',
      '',
      '- x: 1.00 (1.00–1.00), budget ≤ 2: holds',
      '- A note.',
    ].join('\n'),
  );
});

test('a figure of one round has no range', (t) => {
  const once = budget('x', { median: 1, min: 1, max: 1, rounds: 1 }, '≤', 2);
  t.is(formatBudget(once), 'x: 1.00, budget ≤ 2: holds');
});

test('terminal: everything is there, without colours', (t) => {
  const text = renderTerminal(report);
  for (const part of ['thing: a title', 'b|c', '10.0 (9.00–12.0)', '2.00× ', 'holds', 'A note.']) {
    t.true(text.includes(part), part);
  }
  t.false(text.includes('\u001b'));
});

test('the mount of a path is the deepest above it, the newest of equals', (t) => {
  const mounts = parseMounts(
    [
      '22 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
      '30 22 0:25 / /tmp rw shared:1 master:2 - tmpfs tmpfs rw',
      '31 22 8:1 / /data rw - xfs /dev/sda1 rw',
      '32 22 8:2 / /data rw - btrfs /dev/sda2 rw',
      String.raw`33 22 8:3 / /with\040space rw - ext4 /dev/sda3 rw`,
      '',
    ].join('\n'),
  );
  const typeOf = (path: string) => mountOf(path, mounts)?.fileSystem;
  t.is(typeOf('/'), 'ext4');
  t.is(typeOf('/srv/x'), 'ext4');
  t.is(typeOf('/tmp'), 'tmpfs');
  t.is(typeOf('/tmp/a/b'), 'tmpfs');
  t.is(typeOf('/tmpfile'), 'ext4');
  t.is(typeOf('/data/x'), 'btrfs');
  t.is(mountOf('/with space/x', mounts)?.device, '8:3');
  t.is(mountOf('/x', []), undefined);
});

test('lists of CPUs', (t) => {
  t.deepEqual(parseCpuList('0'), [0]);
  t.deepEqual(parseCpuList('0-3,8,10-11'), [0, 1, 2, 3, 8, 10, 11]);
  t.deepEqual(parseCpuList(''), []);
  t.deepEqual(pinned(3, 'node', ['a']), ['taskset', ['-c', '3', 'node', 'a']]);
  t.deepEqual(pinned(undefined, 'node', ['a']), ['node', ['a']]);
});
