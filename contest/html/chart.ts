// Plots over time as SVG without fixed width: lines stretch with the page; their strokes and the text, which
// is HTML, keep their size. They work without a script; with it they show values under the pointer. Pure.
import { escape, markup, plain, short } from './text.js';
import type { Html } from './text.js';

/** One line: a value for each point of x; NaN is a gap. */
export interface Series {
  readonly label: Html;
  /** Colour and stroke: `a`, `b`, `c` of the style sheet. */
  readonly style: 'a' | 'b' | 'c';
  readonly values: readonly number[];
  /** Whether the area down to the axis is filled. */
  readonly area?: boolean;
}

/** A named range of x. */
export interface Band {
  readonly label: Html;
  readonly from: number;
  readonly to: number;
}

/** A marked level, such as a limit. */
export interface Level {
  readonly label: Html;
  readonly value: number;
}

export interface Chart {
  /** Unique on the page, for tests and links. */
  readonly id: string;
  readonly title: Html;
  /** The unit of the numbers at the axis. */
  readonly unit: string;
  readonly x: readonly number[];
  readonly xLabel: (value: number) => Html;
  /** Where x begins; default: at its first point. */
  readonly xFrom?: number;
  readonly xScale?: 'linear' | 'log';
  readonly series: readonly Series[];
  readonly scale?: 'linear' | 'log';
  /** The lowest top of the axis. */
  readonly top?: number;
  readonly bands?: readonly Band[];
  readonly levels?: readonly Level[];
  readonly small?: boolean;
}

// The plot's own coordinates; the page stretches them.
const width = 1000;
const height = 300;

/** Round steps (1, 2, 5 times a power of ten) from 0 to at least `most`. */
export function linearTicks(most: number, count = 4): number[] {
  if (!(most > 0)) return [0, 1];
  const raw = most / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= raw * 0.999)!;
  const ticks: number[] = [];
  for (let i = 0; i * step < most + step * 0.999; i++)
    ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

/** Powers of ten around everything from `least` to `most`. */
export function logTicks(least: number, most: number): number[] {
  const from = Math.floor(Math.log10(Math.max(least, 1e-3)));
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(most, 1e-3))));
  return Array.from({ length: to - from + 1 }, (_, index) =>
    Number((10 ** (from + index)).toPrecision(3)),
  );
}

function fixed(value: number): string {
  return String(Math.round(value * 10) / 10);
}

interface Scales {
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
  readonly ticks: readonly number[];
}

function scalesOf(plot: Chart): Scales {
  const { x, series, scale = 'linear', top = 0, levels = [], xScale = 'linear' } = plot;
  const values = series.flatMap((one) => one.values.filter((value) => Number.isFinite(value)));
  const positive = values.filter((value) => value > 0);
  const most = Math.max(top, ...values, ...levels.map(({ value }) => value));
  const ticks = scale === 'log' ? logTicks(Math.min(most, ...positive), most) : linearTicks(most);
  const along = xScale === 'log' ? Math.log : (value: number): number => value;
  const [first, last] = [along(plot.xFrom ?? x[0] ?? 0), along(x.at(-1) ?? 1)];
  const span = last > first ? last - first : 1;
  const [bottom, ceiling] = [ticks[0]!, ticks.at(-1)!];
  const linear = (value: number): number => (value - bottom) / (ceiling - bottom);
  const logarithmic = (value: number): number =>
    (Math.log10(Math.max(value, bottom)) - Math.log10(bottom)) /
    (Math.log10(ceiling) - Math.log10(bottom));
  const share = scale === 'log' ? logarithmic : linear;
  return {
    x: (value) => Math.min(1, Math.max(0, (along(value) - first) / span)) * width,
    y: (value) => height - Math.min(1, Math.max(0, share(value))) * height,
    ticks,
  };
}

function pathOf({ values }: Series, x: readonly number[], scales: Scales, area = false): string {
  let path = '';
  let runStart: number | undefined;
  const close = (at: number): void => {
    if (area && runStart !== undefined) {
      path += `L${fixed(scales.x(x[at]!))} ${height}L${fixed(scales.x(x[runStart]!))} ${height}Z`;
    }
    runStart = undefined;
  };
  for (const [index, value] of values.entries()) {
    if (!Number.isFinite(value)) {
      close(index - 1);
      continue;
    }
    path += `${runStart === undefined ? 'M' : 'L'}${fixed(scales.x(x[index]!))} ${fixed(scales.y(value))}`;
    runStart ??= index;
  }
  close(values.length - 1);
  return path;
}

/** Round times for the axis: whole multiples that leave room for their labels. */
function xTicks({ x, xFrom, xScale }: Chart): number[] {
  // Some of the points, far enough apart.
  if (xScale === 'log')
    return [...new Set(x)].filter((_, index, all) => index % Math.ceil(all.length / 5) === 0);
  const [first, last] = [xFrom ?? x[0] ?? 0, x.at(-1) ?? 1];
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((one) => (last - first) / one <= 5) ?? (last - first) / 4;
  const ticks: number[] = [];
  for (let at = Math.ceil(first / step) * step; at <= last; at += step) ticks.push(at);
  return ticks;
}

const share = (value: number, whole: number): Html =>
  escape(`${fixed((1000 * value) / whole / 10)}%`);

/** The plot with its title, legend and axes. */
export function chart(plot: Chart): Html {
  const scales = scalesOf(plot);
  const { id, title, unit, x, series, bands = [], levels = [], small = false } = plot;
  const labels = x.map((value) => plot.xLabel(value));
  // The values that the script shows under the pointer, in each language.
  const of = (language: 'en' | 'pt'): object => ({
    x: labels.map((label) => plain(label, language)),
    names: series.map(({ label }) => plain(label, language)),
  });
  const data = {
    en: of('en'),
    pt: of('pt'),
    at: x.map((value) => Number((scales.x(value) / width).toFixed(4))),
    y: series.map(({ values }) => values.map((value) => Number(value.toPrecision(4)))),
  };
  return markup`<figure class="chart${escape(small ? ' small' : '')}" id="${escape(id)}">
    <figcaption><b>${title}</b><span class="legend">${series.map(({ label, style }) => markup`<i class="key ${escape(style)}"></i><span class="name">${label}</span>`)}</span></figcaption>
    <div class="plot" data-points="${escape(JSON.stringify(data))}" data-unit="${escape(unit)}">
      <svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="${escape(plain(title, 'en'))}">
        ${bands.map(({ from, to }, index) => markup`<rect class="band ${escape(index % 2 === 0 ? 'even' : 'odd')}" x="${escape(fixed(scales.x(from)))}" y="0" width="${escape(fixed(Math.max(0, scales.x(to) - scales.x(from))))}" height="${height}"/>`)}
        ${scales.ticks.map((tick) => markup`<path class="grid" d="M0 ${escape(fixed(scales.y(tick)))}H${width}"/>`)}
        ${bands.slice(1).map(({ from }) => markup`<path class="edge" d="M${escape(fixed(scales.x(from)))} 0V${height}"/>`)}
        ${series.filter(({ area }) => area === true).map((one) => markup`<path class="area ${escape(one.style)}" d="${escape(pathOf(one, x, scales, true))}"/>`)}
        ${series.map((one) => markup`<path class="line ${escape(one.style)}" d="${escape(pathOf(one, x, scales))}"/>`)}
        ${levels.map(({ value }) => markup`<path class="level" d="M0 ${escape(fixed(scales.y(value)))}H${width}"/>`)}
      </svg>
      ${scales.ticks.map((tick, index) => markup`<span class="tick y" style="top:${share(scales.y(tick), height)}">${short(tick)}${escape(index === scales.ticks.length - 1 ? ` ${unit}` : '')}</span>`)}
      ${xTicks(plot).map((tick) => markup`<span class="tick x" style="left:${share(scales.x(tick), width)}">${plot.xLabel(tick)}</span>`)}
      ${bands.map(({ label, from, to }) => (scales.x(to) - scales.x(from) < width / 12 ? undefined : markup`<span class="phase" style="left:${share(scales.x(from), width)}">${label}</span>`))}
      ${levels.map(({ label, value }) => markup`<span class="limit${escape(scales.y(value) < height / 10 ? ' under' : '')}" style="top:${share(scales.y(value), height)}">${label}</span>`)}
      <span class="cursor"></span><span class="reading"></span>
    </div>
  </figure>`;
}
