// Plots as SVG: well-formed, everything in them, nothing outside of them, the same each time.

import test from 'ava';
import fc from 'fast-check';
import { hasPlot, renderPlot, scaleFor, wrap } from '../../bench/lib/plot.js';
import type { Plot } from '../../bench/lib/plot.js';
import { blockOf } from '../../bench/lib/results.js';
import type { Report } from '../../bench/lib/report.js';
import { figureOf } from '../../bench/lib/statistics.js';

const plot: Plot = {
  title: 'appends <durable> & "quoted"',
  axis: 'records per second',
  series: ['ours', 'a & b'],
  groups: [
    { label: 'one', values: [figureOf([1000, 2000, 4000]), figureOf([900])] },
    { label: 'many <at> once', values: [figureOf([123_456, 200_000]), figureOf([70_000, 80_000])] },
  ],
};

/** The names of all elements, in order; throws where tags do not close each other. */
function elementsOf(svg: string): string[] {
  const names: string[] = [];
  const open: string[] = [];
  const rest = svg.replace(/<(\/?)([a-z]+)((?: [a-zA-Z:-]+="[^"<&]*")*)(\/?)>/g, (...parts) => {
    const [, closing, name, attributes, empty] = parts as string[];
    if (closing === '/') {
      if (open.pop() !== name || attributes !== '' || empty !== '') throw new Error(`</${name}>`);
    } else {
      names.push(name!);
      if (empty === '') open.push(name!);
    }
    return '';
  });
  if (open.length > 0) throw new Error(`<${open.join('> <')}> is not closed`);
  if (/[<>]|&(?!(amp|lt|gt|quot);)/.test(rest)) throw new Error(`not escaped: ${rest}`);
  return names;
}

const count = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0;

test('the check for well-formed SVG finds what is not', (t) => {
  t.deepEqual(elementsOf('<a x="1"><b/>x &amp; y</a>'), ['a', 'b']);
  for (const broken of [
    '<a>',
    '</a>',
    '<a><b></a></b>',
    '<a>x & y</a>',
    '<a>1 < 2</a>',
    '<a x=1/>',
  ]) {
    t.throws(() => elementsOf(broken), undefined, broken);
  }
});

test('a plot is well-formed, with its title, axis, labels, numbers, and a mark for each figure', (t) => {
  const svg = renderPlot(plot);
  t.is(elementsOf(svg)[0], 'svg');
  for (const part of [
    'appends &lt;durable&gt; &amp; &quot;quoted&quot;',
    'records per second, logarithmic',
    '>ours<',
    '>a &amp; b<',
    '>one<',
    '>many &lt;at&gt; once<',
    '>2,000<',
    '>900<',
    '>162,000<',
    '>75,000<',
    '>1,000<',
    '>100,000<',
    'one, ours: 2,000 (1,000–4,000) records per second',
    'one, a &amp; b: 900 records per second',
    'prefers-color-scheme: dark',
  ]) {
    t.true(svg.includes(part), part);
  }
  t.is(count(svg, /class="mark /g), 4);
  t.is(count(svg, /class="whisker"/g), 3, 'a single round has no range');
  t.is(renderPlot(plot), svg);
});

test('a longer bar is a larger median, on one scale for all groups', (t) => {
  const widths = [...renderPlot(plot).matchAll(/class="mark [^>]* width="([\d.]+)"/g)].map(
    ([, width]) => Number(width),
  );
  const medians = plot.groups.flatMap(({ values }) => values.map(({ median }) => median));
  const inOrder = (values: readonly number[]): number[] =>
    [...values.keys()].sort((one, other) => values[one]! - values[other]!);
  t.deepEqual(inOrder(widths), inOrder(medians));
  t.true(widths.every((width) => width > 0));
});

test('whatever the figures, nothing is drawn outside of the picture', (t) => {
  const value = fc.oneof(
    fc.double({ min: 1e-6, max: 1e9, noNaN: true }),
    fc.constantFrom(0, -1, NaN, Infinity, 1, 10, 1000),
  );
  const figure = fc.array(value, { minLength: 1, maxLength: 4 }).map(figureOf);
  const groups = fc.array(
    fc.record({ label: fc.string(), values: fc.array(figure, { minLength: 2, maxLength: 2 }) }),
    { minLength: 1, maxLength: 4 },
  );
  t.notThrows(() =>
    fc.assert(
      fc.property(groups, (some) => {
        const svg = renderPlot({ ...plot, groups: some });
        elementsOf(svg.replaceAll(/[^\x20-\x7e\n–]/g, '?'));
        if (count(svg, /class="mark /g) !== 2 * some.length) return false;
        if (/="[^"]*(NaN|Infinity|e[+-]\d)/.test(svg)) return false;
        const xs = [...svg.matchAll(/ (?:x|width)="(-?[\d.]+)"/g)].map(([, x]) => Number(x));
        return xs.every((x) => x >= 0 && x <= 800);
      }),
    ),
  );
});

test('the axis begins at a power of ten below the least value, and ends above the largest', (t) => {
  for (const [values, from, to] of [
    [[1500, 90_000], 100, 100_000],
    [[31, 400], 10, 500],
    [[10, 10], 1, 20],
    [[0.003, 0.5], 0.001, 1],
    [[0, NaN, 50], 10, 100],
    [[0], 0.1, 2],
    [[], 0.1, 2],
  ] as const) {
    const scale = scaleFor(values);
    t.deepEqual([scale.from, scale.to], [from, to], String(values));
    t.is(scale.ticks[0]!.value, from);
    t.is(scale.ticks.at(-1)!.value, to);
    t.true(scale.ticks.filter(({ labelled }) => labelled).length >= 2);
  }
});

test('long labels are broken between words', (t) => {
  t.deepEqual(wrap('one two three', 7), ['one two', 'three']);
  t.deepEqual(wrap('one', 7), ['one']);
  t.deepEqual(wrap('incomprehensible word', 7), ['incomprehensible', 'word']);
});

test("a group's block: the machine, the tables, and a plot under the table that it belongs to", (t) => {
  const report: Report = {
    trial: 'thing',
    title: 'a title',
    columns: [{ key: 'a', title: 'a' }],
    rows: [{ a: 1 }],
    budgets: [],
    notes: [],
  };
  const block = blockOf(
    ['2 × CPU', 'disk'],
    [
      { ...report, plot },
      { ...report, trial: 'other' },
    ],
  );
  t.is(
    block,
    [
      '- 2 × CPU\n- disk',
      '**thing**: a title\n\n| a |\n| ---: |\n| 1.00 |',
      '![thing: a title](plots/thing.svg)',
      '**other**: a title\n\n| a |\n| ---: |\n| 1.00 |',
    ].join('\n\n'),
  );
  t.true(hasPlot({ ...report, plot }));
  t.false(hasPlot(report));
  t.false(hasPlot({ ...report, plot: { ...plot, groups: [] } }));
});
