// Compares two results as ratios, to show the effect of a change.
import { readFileSync } from 'node:fs';
import { plainTable } from '#espora/cli/plain-table.js';
import { EsporaError } from '#espora/errors.js';
import { operations } from './plan.js';
import { count, usd } from './report.js';
import type { ContestResult } from './result.js';

/** Reads a result that `--json` wrote. Throws ERR_ESPORA_INVALID. */
export function readResult(file: string): ContestResult {
  const invalid = (what: string): EsporaError => {
    const due = 'it must be what espora contest --json FILE writes';
    return new EsporaError('ERR_ESPORA_INVALID', `${file} ${what}; ${due}`);
  };
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw invalid(code === undefined ? 'is not JSON' : `cannot be read (${code})`);
  }
  const result = value as Partial<ContestResult> | null;
  if (typeof result !== 'object' || result?.version !== 1 || result.operations === undefined) {
    throw invalid('is no result of this version');
  }
  return result as ContestResult;
}

type Row = readonly [what: string, before: string, after: string, ratio: string];

function ratio(before: number, after: number): string {
  if (before === after) return '1.00';
  if (before === 0) return 'from 0';
  return (after / before).toFixed(2);
}

function row(what: string, before: number, after: number, show = millis): Row {
  return [what, show(before), show(after), ratio(before, after)];
}

const millis = (value: number): string => `${value.toFixed(2)} ms`;
const share = (value: number): string => `${value.toFixed(2)} %`;
const megabytes = (value: number): string => `${(value / 2 ** 20).toFixed(0)} MiB`;

function latencyRows(before: ContestResult, after: ContestResult): Row[] {
  const rows: Row[] = [];
  for (const operation of [...operations, 'all'] as const) {
    const of = (result: ContestResult) =>
      operation === 'all' ? result.all : result.operations[operation];
    const [a, b] = [of(before), of(after)];
    if (a.requests === 0 && b.requests === 0) continue;
    rows.push(row(`${operation} p50`, a.latencyMs.p50, b.latencyMs.p50));
    rows.push(row(`${operation} p99`, a.latencyMs.p99, b.latencyMs.p99));
  }
  return rows;
}

function limitRows(before: ContestResult, after: ContestResult): Row[] {
  const [a, b] = [before.underLimits, after.underLimits];
  if (a === undefined || b === undefined) return [];
  const rows: Row[] = [];
  for (const one of a.services) {
    const other = b.services.find(({ name }) => name === one.name);
    if (other === undefined) continue;
    const { name } = one;
    rows.push(row(`${name} CPU s`, one.cpuSeconds, other.cpuSeconds, (value) => value.toFixed(2)));
    rows.push(row(`${name} throttled`, one.throttledPercent, other.throttledPercent, share));
    rows.push(row(`${name} memory`, one.memoryPeakBytes, other.memoryPeakBytes, megabytes));
  }
  rows.push(row('commit mean', a.commits.meanMs, b.commits.meanMs));
  const times = (value: number): string => value.toFixed(2);
  rows.push(row('batch mean', a.commits.batchMean, b.commits.batchMean, times));
  return rows;
}

/** A table of figure, before, after and ratio, after the conditions that differ. Pure. */
export function compareText(
  before: ContestResult,
  after: ContestResult,
  names: readonly [string, string],
): string {
  const rows: Row[] = [
    row('requests', before.requests, after.requests, count),
    row('failures', before.failures, after.failures, count),
    row('under 250 ms', before.fastPercent, after.fastPercent, share),
    row('prize', before.prize.usd, after.prize.usd, usd),
    ...latencyRows(before, after),
    ...limitRows(before, after),
  ];
  if (before.saturation !== undefined && after.saturation !== undefined) {
    const [a, b] = [before.saturation.heldRate, after.saturation.heldRate];
    rows.push(row('highest rate held', a, b, (value) => `${count(value)}/s`));
  }
  const unlike = [
    ...(before.plan === after.plan ? [] : [`plans differ: ${before.plan}, ${after.plan}`]),
    ...[before, after].flatMap(({ outcome }, index) =>
      outcome === 'passed' ? [] : [`${names[index]!} ${outcome}`],
    ),
  ];
  const notes = unlike.map((line) => `Note: ${line}.`);
  return [...notes, plainTable(['', ...names, 'ratio'], rows)].join('\n');
}
