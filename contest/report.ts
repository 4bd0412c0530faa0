// A result as text. Pure; with colours only if asked for.
import { styleText } from 'node:util';
import Table from 'cli-table3';
import type { Surroundings } from '#espora/lab/surroundings.js';
import { oneLine } from '#espora/shown.js';
import type { Operation } from './plan.js';
import { operations } from './plan.js';
import type { ContestResult } from './result.js';
import type { AuditedBalance } from './service.js';
import type { ServiceFigures } from './service-samplers.js';
import type { SaturationStep } from './saturation.js';
import { fastBelowMs, isWholeTest } from './score.js';
import type { FailureGroup, Figures } from './tally.js';

type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow';
export type Paint = (style: Style, text: string) => string;

/** Colours for a terminal. */
export const colours: Paint = (style, text) => styleText(style, text, { validateStream: false });
/** For everything else. */
export const noColours: Paint = (_style, text) => text;

const operationNames: Readonly<Record<Operation, string>> = {
  validation: 'validations',
  debit: 'debits',
  credit: 'credits',
  statement: 'statements',
};

const failuresShown = 8;
// Above this, the player's own delay is a noticeable part of the latencies.
const latenessWarningMs = 2;

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `USD 100,000.00`. */
export function usd(value: number): string {
  const text = Math.abs(value).toLocaleString('en-US', {
    minimumFractionDigits: 2,
    maximumFractionDigits: 2,
  });
  return `${value < 0 ? '-' : ''}USD ${text}`;
}

/** `4 min 0 s`, `31 s`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A percentage with two decimals that is never rounded up to 100. */
export function percent(value: number): string {
  return `${(Math.floor(value * 100) / 100).toFixed(2)} %`;
}

function ms(value: number): string {
  return value < 100 ? value.toFixed(2) : value.toFixed(0);
}

function operationTable(result: ContestResult, paint: Paint): string {
  const table = new Table({
    head: ['', 'requests', 'failures', 'p50 ms', 'p75', 'p95', 'p99', 'max'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '  ',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '   ',
    },
  });
  const row = (name: string, figures: Figures): void => {
    const { p50, p75, p95, p99, max } = figures.latencyMs;
    const failures = count(figures.failures);
    table.push([
      name,
      count(figures.requests),
      figures.failures > 0 ? paint('red', failures) : failures,
      ...[p50, p75, p95, p99, max].map(ms),
    ]);
  };
  for (const operation of operations) {
    const figures = result.operations[operation];
    if (figures.requests > 0) row(operationNames[operation], figures);
  }
  row('all', result.all);
  return table.toString();
}

function failureLines({ phase, code, count: times, request, message, inconsistent }: FailureGroup) {
  const kind = inconsistent ? `${code}, inconsistent` : code;
  return [`  ${count(times)} × ${phase} (${kind})`, `      ${request}`, `      ${message}`].map(
    oneLine,
  );
}

function failureText({ failureGroups }: ContestResult, paint: Paint): string[] {
  if (failureGroups.length === 0) return [];
  const lines = failureGroups.slice(0, failuresShown).flatMap(failureLines);
  const more = failureGroups.length - failuresShown;
  if (more > 0) lines.push(`  and ${more} more kinds`);
  return ['', paint('red', 'What failed (the first of each kind)'), ...lines];
}

function phaseText({ phases }: ContestResult, paint: Paint): string[] {
  const width = Math.max(0, ...phases.map(({ title }) => title.length));
  return phases.map(({ title, requests, failures, startMs, endMs }) => {
    const verdict =
      failures === 0 ? paint('green', 'ok') : paint('red', `${count(failures)} failed`);
    const took = endMs - startMs < 10_000 ? `${endMs - startMs} ms` : duration(endMs - startMs);
    return `  ${title.padEnd(width)}   ${count(requests).padStart(7)} ${requests === 1 ? 'request' : 'requests'} in ${took}: ${verdict}`;
  });
}

const problemsText = (wrong: readonly AuditedBalance[]): string =>
  oneLine(wrong.map(({ client, problem }) => `client ${client}: ${problem}`).join('; '));

function auditLine({ audit, outcome }: ContestResult, paint: Paint): string {
  if (outcome === 'interrupted') return 'not looked at';
  const wrong = audit.filter(({ problem }) => problem !== undefined);
  const right = `${audit.length - wrong.length} of ${audit.length} accounts`;
  const line = `${right} add up to what was acknowledged`;
  if (wrong.length === 0) return line;
  return `${paint('red', line)} (${problemsText(wrong)})`;
}

/** `espora 0.1.0, commit 0123456789ab with changes, Node.js v24.0.0`. */
export function programs({ version, commit, modified, node }: Surroundings): string {
  const of = commit === undefined ? '' : `, commit ${commit}${modified ? ' with changes' : ''}`;
  return `espora ${version}${of}, Node.js ${node}`;
}

function machineLine({ cpus, cpu, hypervisor, memoryBytes, ...system }: Surroundings): string {
  const memory = `${(memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  const virtual = hypervisor ? ' (virtual)' : '';
  return `${cpus} × ${cpu}${virtual}, ${memory}, ${system.kernel} ${system.architecture}`;
}

function prizeLine(result: ContestResult, paint: Paint): string {
  const { prize, outcome, fastPercent, plan } = result;
  if (outcome === 'interrupted') return 'none: the run was stopped before its end';
  const fines = [
    ...(prize.slowFineUsd > 0
      ? [`${usd(prize.slowFineUsd)} for ${percent(fastPercent)} instead of 98 % in time`]
      : []),
    ...(prize.inconsistencyFineUsd > 0
      ? [`${usd(prize.inconsistencyFineUsd)} for inconsistencies`]
      : []),
  ];
  const whole = paint(fines.length === 0 ? 'green' : 'yellow', paint('bold', usd(prize.usd)));
  const line = fines.length === 0 ? whole : `${whole} (fines: ${fines.join(', ')})`;
  return isWholeTest(result) ? line : `${line}, if the plan ${plan} were the whole test`;
}

function playerLine({ player }: ContestResult): string {
  const { cpuPercent, latenessMs, connectMs } = player;
  return (
    `cpu ${cpuPercent.toFixed(0)} % of a core, ` +
    `lateness p50 ${ms(latenessMs.p50)} p99 ${ms(latenessMs.p99)} ms, ` +
    `connect p50 ${ms(connectMs.p50)} p99 ${ms(connectMs.p99)} ms`
  );
}

/** `4,000/s: 4,001 answered a second, p50 0.42 p99 1.20 ms, generator 12 % of a core: held`. */
export function stepLine(step: SaturationStep): string {
  const { rate, answered, errors, p50Ms, p99Ms, generatorCpuPercent, held } = step;
  const failed = errors === 0 ? '' : `, ${count(errors)} errors`;
  return (
    `${count(rate)}/s: ${count(answered)} answered a second, p50 ${ms(p50Ms)} p99 ${ms(p99Ms)} ms` +
    `${failed}, generator ${generatorCpuPercent.toFixed(0)} % of a core: ${held ? 'held' : 'not held'}`
  );
}

/** `cpu 21 % of 0.55, throttled in 0.00 % of periods, memory 34 of 240 MiB`. */
function serviceLine({ limits, ...used }: ServiceFigures): string {
  const memory = (used.memoryPeakBytes / 2 ** 20).toFixed(0);
  return (
    `cpu ${used.cpuPercentOfLimit.toFixed(0)} % of ${limits.cpus}, ` +
    `throttled in ${used.throttledPercent.toFixed(2)} % of periods, ` +
    `memory ${memory} of ${limits.memoryMegabytes} MiB`
  );
}

function afterKillLine({ underLimits }: ContestResult, paint: Paint): string {
  const after = underLimits?.afterKill;
  if (after === undefined) return 'the database was not killed';
  const wrong = after.audit.filter(({ problem }) => problem !== undefined);
  const line = `${after.audit.length - wrong.length} of ${after.audit.length} accounts, answering again after ${(after.backAfterMs / 1000).toFixed(1)} s`;
  if (wrong.length === 0) return line;
  return `${paint('red', line)} (${problemsText(wrong)})`;
}

/** Figures that exist only for services that the player started itself. */
function limitFacts(result: ContestResult, paint: Paint): [string, string][] {
  const { underLimits, saturation } = result;
  const facts: [string, string][] = [];
  if (underLimits !== undefined) {
    const { services, commits } = underLimits;
    facts.push(['after kill -9', afterKillLine(result, paint)]);
    for (const service of services) facts.push([service.name, serviceLine(service)]);
    const { meanMs, batchMean } = commits;
    const mean = `${ms(meanMs)} ms each, ${batchMean.toFixed(2)} transactions`;
    facts.push(['commits', `${count(commits.commits)}, ${mean}`]);
  }
  if (saturation !== undefined) {
    const { heldRate, lateMs } = saturation;
    facts.push(['highest rate', `${count(heldRate)} arrivals/s held with p99 up to ${lateMs} ms`]);
  }
  return facts;
}

/** The first line of a run. */
export function headLine(service: string, plan: string, requests: number, seed: number): string {
  return `espora contest: ${count(requests)} requests (${plan}) to ${service}, seed ${seed}`;
}

/** Whether the score is shown as the prize: that of the whole test, or none. */
function hasPrize(result: ContestResult): boolean {
  return isWholeTest(result) || result.outcome === 'interrupted';
}

/** The whole report, without a line break at its end; text from a service is kept on one line. */
export function reportText(result: ContestResult, paint: Paint): string {
  const { requests, plannedRequests, failures, inconsistencies, fastPercent } = result;
  const facts: readonly (readonly [string, string])[] = [
    [
      'requests',
      `${count(requests)} of ${count(plannedRequests)} in ${duration(result.durationMs)}`,
    ],
    ['failures', failures === 0 ? '0' : paint('red', count(failures))],
    [`under ${fastBelowMs} ms`, percent(fastPercent)],
    ['inconsistencies', inconsistencies === 0 ? '0' : paint('red', count(inconsistencies))],
    ['balances after', auditLine(result, paint)],
    ...limitFacts(result, paint),
    ['player', playerLine(result)],
    ['machine', machineLine(result.surroundings)],
    ['played by', programs(result.surroundings)],
    [hasPrize(result) ? 'prize' : 'would be', prizeLine(result, paint)],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const warning =
    result.player.latenessMs.p99 > latenessWarningMs
      ? [
          '',
          paint('yellow', 'The player itself was late') +
            ': this machine was busy, and the latencies above hold some of that.',
        ]
      : [];
  return [
    ...phaseText(result, paint),
    '',
    paint('dim', '  latency from the intended start to the end of the answer'),
    operationTable(result, paint),
    '',
    ...facts.map(([name, value]) => `  ${name.padEnd(width)}   ${value}`),
    ...failureText(result, paint),
    ...warning,
  ].join('\n');
}
