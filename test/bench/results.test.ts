// Documents of results: written, read back, and quoted by others.

import { readFileSync } from 'node:fs';
import test from 'ava';
import type { Report } from '../../bench/lib/report.js';
import { budget } from '../../bench/lib/report.js';
import {
  blockOf,
  parseResults,
  replaceBlock,
  resultsFile,
  resultsOf,
} from '../../bench/lib/results.js';
import { landingTable, summaries, summaryOf } from '../../bench/lib/summary.js';
import { groups } from '../../bench/lib/trial.js';

const figure = (median: number) => ({ median, min: median / 2, max: median * 2, rounds: 3 });

const report: Report = {
  trial: 'forwarding',
  title: 'a title',
  columns: [
    { key: 'case', title: 'case' },
    { key: 'variant', title: 'a | b' },
    { key: 'time', title: 'time' },
  ],
  rows: [
    { case: 'one', variant: 'x', time: figure(10) },
    { case: 'one', variant: 'y|z', time: figure(5) },
    { case: 'two', variant: 'x', time: figure(7) },
  ],
  budgets: [budget('x, one: rate', figure(3), '≤', 2)],
  notes: ['A note.'],
};

test('a document of results is read back as it was written', (t) => {
  const text = resultsOf('load', blockOf(['2 × CPU'], [report, { ...report, trial: 'bulk-2' }]));
  t.true(text.startsWith('# Results of the group `load`\n'));
  const results = parseResults(text);
  t.deepEqual([...results.keys()], ['forwarding', 'bulk-2']);
  t.deepEqual(results.get('bulk-2'), {
    columns: ['case', 'a | b', 'time'],
    rows: [
      ['one', 'x', '10.0 (5.00–20.0)'],
      ['one', 'y|z', '5.00 (2.50–10.0)'],
      ['two', 'x', '7.00 (3.50–14.0)'],
    ],
    remarks: ['x, one: rate: 3.00 (1.50–6.00), budget ≤ 2: does NOT hold', 'A note.'],
  });
});

test('every group has a document, and a line of it in bench/README.md', (t) => {
  for (const group of groups) {
    t.true(parseResults(readFileSync(resultsFile(group), 'utf8')).size > 0, group);
    t.true(
      summaries.some((comparison) => comparison.group === group),
      group,
    );
  }
  for (const { group } of summaries) t.true(groups.includes(group), group);
});

test('a budget that does not hold is quoted as one', (t) => {
  const text = readFileSync(resultsFile('arrivals'), 'utf8');
  const remark = /(espora, relay: p50 over that of HAProxy's chain: .*): (?:holds|does NOT hold)$/m;
  t.regex(text, remark);
  const broken = summaryOf('arrivals', text.replace(remark, '$1: does NOT hold'));
  t.regex(broken, /espora, relay.* \(budget ≤ [\d.]+, does NOT hold\)/);
  t.notRegex(
    summaryOf('arrivals', text.replace(remark, '$1: holds')).split('\n')[2]!,
    /does NOT hold/,
  );
});

test('a figure that is not in the documents is an error that names it', (t) => {
  for (const group of groups) {
    t.throws(() => summaryOf(group, ''), { instanceOf: RangeError, message: /has no figure/ });
  }
  t.throws(() => landingTable('en', () => ''), { message: /^store-append has no figure "records/ });
});

test('the READMEs have four figures, each as its language writes numbers', (t) => {
  const read = (group: (typeof groups)[number]): string => readFileSync(resultsFile(group), 'utf8');
  const [english, portuguese] = (['en', 'pt-BR'] as const).map((language) =>
    landingTable(language, read).split('\n').slice(2),
  );
  t.is(english!.length, 4);
  t.is(portuguese!.length, 4);
  const digits = (line: string): string => line.split('|').slice(2).join('').replace(/[.,]/g, '');
  t.deepEqual(
    portuguese!.map((line) => digits(line).replace(' e pg', ' and pg')),
    english!.map(digits),
  );
});

test('a block goes between its own markers and leaves the rest as it is', (t) => {
  const text = 'a\n<!-- one -->\nold\n<!-- /one -->\nb\n<!-- two -->\n<!-- /two -->\nc';
  const once = replaceBlock(text, 'one', '\nnew\n\n');
  t.is(once, 'a\n<!-- one -->\n\nnew\n\n<!-- /one -->\nb\n<!-- two -->\n<!-- /two -->\nc');
  t.is(replaceBlock(once, 'one', 'new'), once);
  t.is(
    replaceBlock(once, 'one', '$& $1'),
    once.replace('new', () => '$& $1'),
  );
  for (const broken of ['', '<!-- /one -->\n<!-- one -->', '<!-- one -->']) {
    t.throws(() => replaceBlock(broken, 'one', ''), { instanceOf: RangeError }, broken);
  }
});
