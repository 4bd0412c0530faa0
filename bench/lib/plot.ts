// A report's picture, as SVG: bars on a logarithmic axis, grouped, with the range of the rounds. The
// same data make the same bytes.

import { formatNumber } from './render.js';
import type { Report } from './report.js';
import type { Figure } from './statistics.js';

export interface PlotGroup {
  readonly label: string;
  /** One for each series, in their order. */
  readonly values: readonly Figure[];
}

export interface Plot {
  readonly title: string;
  /** What is measured, with its unit. */
  readonly axis: string;
  readonly series: readonly string[];
  readonly groups: readonly PlotGroup[];
}

export const hasPlot = (report: Report): report is Report & { readonly plot: Plot } =>
  report.plot !== undefined && report.plot.groups.length > 0;

const width = 800;
const margin = 24;
/** Of a letter, on average, over the size of the font: there is no font to ask. */
const letter = 0.56;
const fontSize = 13;
const titleSize = 16;
const lineHeight = 17;
const labelLetters = 24;
const barHeight = 18;
const barGap = 4;
const groupGap = 18;
/** Beyond the longest whisker, for the number that stands there. */
const numberWidth = 70;

const palettes = {
  light: ['#1f5fbf', '#d97706', '#7a8591', '#2f8f5b', '#a23b72'],
  dark: ['#4c8dff', '#d98a1f', '#7d8894', '#3fa56c', '#c25c94'],
} as const;

const colours = (mode: keyof typeof palettes): string =>
  palettes[mode].map((colour, index) => `.series-${index} { fill: ${colour}; }`).join(' ');

const style = `
  text { font: ${fontSize}px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
  .title { font-size: ${titleSize}px; font-weight: 600; }
  .axis { fill: #59636e; }
  .paper { fill: #ffffff; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .grid.minor { stroke: #eceff2; }
  .whisker { stroke: #1f2328; stroke-width: 1.5; fill: none; }
  ${colours('light')}
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .axis { fill: #9198a1; }
    .paper { fill: #0d1117; }
    .grid { stroke: #3d444d; }
    .grid.minor { stroke: #20262d; }
    .whisker { stroke: #e6edf3; }
    ${colours('dark')}
  }
`;

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};
const escape = (text: string): string => text.replace(/[&<>"]/g, (found) => escapes[found]!);

const widthOf = (text: string, size = fontSize): number => text.length * size * letter;

/** Lines of at most so many letters, broken at spaces; a longer word keeps a line to itself. */
export function wrap(text: string, lettersMax: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= lettersMax) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}

/** A logarithmic axis has no place for these. */
const hasPlace = (value: number): boolean => Number.isFinite(value) && value > 0;

interface Scale {
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly { readonly value: number; readonly labelled: boolean }[];
}

/** From a power of ten well below the least value to the first step above the largest. */
export function scaleFor(values: readonly number[]): Scale {
  const placed = values.filter(hasPlace);
  const least = placed.length === 0 ? 1 : Math.min(...placed);
  const most = placed.length === 0 ? 1 : Math.max(...placed);
  const first = Math.floor(Math.log10(least / 2));
  const steps: number[] = [];
  for (let power = first; ; power++) {
    for (let step = 1; step < 10; step++) {
      // Not 10 ** -1 * 3, which is 0.30000000000000004.
      steps.push(Number(`${step}e${power}`));
    }
    if (10 ** (power + 1) > most) break;
  }
  const to = steps.find((step) => step > most && /^[125]/.test(step.toExponential()));
  const end = to ?? Number(`1e${Math.floor(Math.log10(most)) + 1}`);
  const decades = Math.log10(end) - first;
  const named = decades > 2.5 ? /^1(e|$)/ : /^[125](e|$)/;
  const ticks = [...steps.filter((step) => step < end), end].map((value) => ({
    value,
    labelled: named.test(value.toExponential()),
  }));
  return { from: steps[0]!, to: end, ticks };
}

const round = (value: number): string => String(Math.round(value * 10) / 10);

const text = (x: number, y: number, content: string, kind = '', anchor = 'start'): string =>
  `<text${kind === '' ? '' : ` class="${kind}"`} x="${round(x)}" y="${round(y)}" ` +
  `text-anchor="${anchor}">${escape(content)}</text>`;

const formatTick = (value: number): string =>
  value.toLocaleString('en-US', { maximumFractionDigits: 6 });

function describe({ median, min, max, rounds }: Figure): string {
  const range = rounds > 1 ? ` (${formatNumber(min)}–${formatNumber(max)})` : '';
  return `${formatNumber(median)}${range}`;
}

/** Squares with names, from left to right, in as many rows as it takes. */
function legend(series: readonly string[], top: number): { svg: string[]; bottom: number } {
  const svg: string[] = [];
  let x = margin;
  let y = top;
  for (const [index, name] of series.entries()) {
    const needed = 18 + widthOf(name) + 20;
    if (x > margin && x + needed > width - margin) {
      x = margin;
      y += lineHeight + 3;
    }
    svg.push(
      `<rect class="series-${index}" x="${round(x)}" y="${y}" width="12" height="12" rx="2"/>`,
    );
    svg.push(text(x + 18, y + 11, name));
    x += needed;
  }
  return { svg, bottom: y + lineHeight };
}

/** A bar with its range and its number. `place`: where on the x axis a value is. */
function drawBar(
  figure: Figure,
  index: number,
  what: string,
  top: number,
  place: (value: number) => number,
): string[] {
  const middle = top + barHeight / 2;
  const [start, low, end, high] = [0, figure.min, figure.median, figure.max].map(place);
  const svg = [
    `<rect class="mark series-${index}" x="${round(start!)}" y="${round(top)}" ` +
      `width="${round(end! - start!)}" height="${barHeight}"><title>${escape(what)}</title></rect>`,
  ];
  if (figure.rounds > 1) {
    svg.push(
      `<path class="whisker" d="M${round(low!)} ${round(middle - 4)}v8` +
        `M${round(low!)} ${round(middle)}H${round(high!)}M${round(high!)} ${round(middle - 4)}v8"/>`,
    );
  }
  const last = figure.rounds > 1 ? Math.max(end!, high!) : end!;
  svg.push(text(last + 7, middle + fontSize / 3, formatNumber(figure.median)));
  return svg;
}

/** Where a value is between `left` and `right`; at the left what has no place. */
function placeOn({ from, to }: Scale, left: number, right: number): (value: number) => number {
  const start = Math.log10(from);
  const perDecade = (right - left) / (Math.log10(to) - start);
  return (value) => (hasPlace(value) ? left + perDecade * (Math.log10(value) - start) : left);
}

export function renderPlot({ title, axis, series, groups }: Plot): string {
  const titleLines = wrap(title, Math.floor((width - 2 * margin) / (titleSize * letter)));
  const titleBottom = margin + 6 + titleLines.length * 21;
  const names = legend(series, titleBottom);
  const top = names.bottom + 14;
  const labels = groups.map(({ label }) => wrap(label, labelLetters));
  const left = margin + Math.max(0, ...labels.flat().map((line) => widthOf(line))) + 14;
  const figures = groups.flatMap(({ values }) => values);
  const scale = scaleFor(figures.flatMap(({ median, min, max }) => [median, min, max]));
  const place = placeOn(scale, left, width - margin - numberWidth);

  const marks: string[] = [];
  let y = top + groupGap / 2;
  for (const [index, { label, values }] of groups.entries()) {
    const lines = labels[index]!;
    const barsHeight = values.length * (barHeight + barGap) - barGap;
    const height = Math.max(barsHeight, lines.length * lineHeight);
    const firstLine = y + (height - (lines.length - 1) * lineHeight) / 2 + fontSize / 3;
    for (const [row, line] of lines.entries()) {
      marks.push(text(left - 12, firstLine + row * lineHeight, line, '', 'end'));
    }
    for (const [ofSeries, figure] of values.entries()) {
      const what = `${label}, ${series[ofSeries] ?? ''}: ${describe(figure)} ${axis}`;
      const barTop = y + (height - barsHeight) / 2 + ofSeries * (barHeight + barGap);
      marks.push(...drawBar(figure, ofSeries, what, barTop, place));
    }
    y += height + groupGap;
  }
  const bottom = y - groupGap / 2;

  const grid = scale.ticks.flatMap(({ value, labelled }) => {
    const x = place(value);
    const kind = labelled ? 'grid' : 'grid minor';
    return [
      `<path class="${kind}" d="M${round(x)} ${round(top)}V${round(bottom)}"/>`,
      ...(labelled ? [text(x, bottom + 18, formatTick(value), 'axis', 'middle')] : []),
    ];
  });
  const ranges = figures.some(({ rounds }) => rounds > 1)
    ? '; bar: median of the rounds, whisker: least and largest'
    : '';
  const height = Math.ceil(bottom + 40 + margin - 6);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" ` +
      `height="${height}" role="img" aria-labelledby="title">`,
    `<title id="title">${escape(`${title}: ${axis}`)}</title>`,
    `<style>${style}</style>`,
    `<rect class="paper" width="${width}" height="${height}" rx="6"/>`,
    ...titleLines.map((line, index) => text(margin, margin + 14 + index * 21, line, 'title')),
    ...names.svg,
    ...grid,
    ...marks,
    text(left, bottom + 40, `${axis}, logarithmic${ranges}`, 'axis'),
    '</svg>',
    '',
  ].join('\n');
}
