// A result as one self-contained HTML page: no network, no fonts, no other files. Pure.
import type { Surroundings } from '#espora/lab/surroundings.js';
import type { Operation } from '../plan.js';
import { operations } from '../plan.js';
import { duration } from '../report.js';
import type { ContestResult, UnderLimits } from '../result.js';
import type { Saturation } from '../saturation.js';
import { fastBelowMs, isWholeTest } from '../score.js';
import type { AuditedBalance } from '../service.js';
import type { ServiceFigures } from '../service-samplers.js';
import type { Figures } from '../tally.js';
import { chart } from './chart.js';
import type { Band } from './chart.js';
import { script, style } from './style.js';
import {
  dollars,
  escape,
  markup,
  megabytes,
  milliseconds,
  number,
  percentage,
  say,
  short,
} from './text.js';
import type { Html, Piece } from './text.js';

const operationNames: Readonly<Record<Operation, Html>> = {
  validation: say('validations', 'validações'),
  debit: say('debits', 'débitos'),
  credit: say('credits', 'créditos'),
  statement: say('statements', 'extratos'),
};

/** Titles of phases as the plan has them, in Portuguese. */
const phaseTitles: readonly (readonly [RegExp, string])[] = [
  [/^(\d+) debits at once$/, '$1 débitos ao mesmo tempo'],
  [/^(\d+) credits at once$/, '$1 créditos ao mesmo tempo'],
  [/^balance is (-?\d+)$/, 'o saldo é $1'],
  [/^statements and bad requests$/, 'extratos e requisições inválidas'],
  [/^load$/, 'carga'],
  [/^ramp$/, 'subida'],
  [/^plateau$/, 'patamar'],
];

function phaseTitle(title: string): Html {
  for (const [pattern, portuguese] of phaseTitles) {
    if (pattern.test(title)) return say(title, title.replace(pattern, portuguese));
  }
  return escape(title);
}

const clock = (seconds: number): Html =>
  escape(`${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`);

function section(id: string, title: Html, note: Html | undefined, ...content: Piece[]): Html {
  const said = note === undefined ? undefined : markup`<p class="note">${note}</p>`;
  return markup`<section id="${escape(id)}"><h2>${title}</h2>${said}${content}</section>`;
}

function table(head: readonly Html[], rows: readonly Html[]): Html {
  const cells = head.map((cell) => markup`<th scope="col">${cell}</th>`);
  return markup`<div class="wide"><table><thead><tr>${cells}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

function tableRow(cells: readonly Html[], total = false): Html {
  const all = cells.map((cell) => markup`<td>${cell}</td>`);
  return total ? markup`<tr class="total">${all}</tr>` : markup`<tr>${all}</tr>`;
}

// --- The head -------------------------------------------------------------------------------------

function verdict({ outcome, failures, inconsistencies, fastPercent }: ContestResult): Html {
  if (outcome === 'interrupted') {
    return say(
      'The run was stopped before its end; its figures say nothing about a prize.',
      'A execução foi interrompida antes do fim; os números não valem prêmio.',
    );
  }
  if (outcome === 'passed') {
    return say(
      `Every answer was right, and ${fastPercent >= 100 ? 'every one' : 'nearly every one'} came in less than ${fastBelowMs} ms.`,
      `Todas as respostas corretas, e ${fastPercent >= 100 ? 'todas' : 'quase todas'} em menos de ${fastBelowMs} ms.`,
    );
  }
  return markup`<span class="bad">${say(
    `${failures} requests failed, ${inconsistencies} answers were inconsistent; what failed is listed below.`,
    `${failures} requisições falharam, ${inconsistencies} respostas inconsistentes; a lista está abaixo.`,
  )}</span>`;
}

/** Small facts in a row, each kept together if there is room. */
function pieces(all: readonly Html[]): Html {
  return markup`<p class="note meta">${all.map((one, index) => markup`${escape(index === 0 ? '' : ' · ')}<span>${one}</span>`)}</p>`;
}

/** The label of the figure in the head: only the whole test has the contest's prize. */
function prizeTitle({ plan }: ContestResult): Html {
  return isWholeTest({ plan })
    ? say('Rinha de Backend 2024/Q1 · prize', 'Rinha de Backend 2024/Q1 · prêmio')
    : say(
        `Rinha de Backend 2024/Q1 · what a prize would be after the plan ${plan}, not the whole test`,
        `Rinha de Backend 2024/Q1 · quanto seria o prêmio depois do plano ${plan}, não do teste inteiro`,
      );
}

function head(result: ContestResult): Html {
  const { underLimits, service, plan, startedAt, durationMs, seed } = result;
  const title = underLimits?.title ?? service;
  const by =
    underLimits === undefined
      ? undefined
      : underLimits.limitsBy === 'containers'
        ? say(' in containers, under their limits', ' em contêineres, com seus limites')
        : say(' in control groups, under its limits', ' em control groups, com seus limites');
  const when = startedAt.replace('T', ' ').replace(/:\d\d\.\d+Z$/, ' UTC');
  const meta = [
    markup`${escape(title)}${by}`,
    say(`plan ${plan}`, `plano ${plan}`),
    escape(duration(durationMs)),
    markup`${say('seed', 'semente')} ${escape(String(seed))}`,
    escape(when),
  ];
  const prize =
    result.outcome === 'interrupted' ? say('no prize', 'sem prêmio') : dollars(result.prize.usd);
  return markup`<header>
    <p class="what">${prizeTitle(result)}</p>
    <h1>${prize}</h1>
    <p class="verdict">${verdict(result)}</p>
    ${pieces(meta)}
    ${surroundings(result.surroundings)}
  </header>`;
}

/** The surroundings of the run. */
function surroundings(of: Surroundings): Html {
  const virtual = of.hypervisor ? say(' (virtual)', ' (virtual)') : undefined;
  return pieces([
    escape(`espora ${of.version}`),
    ...(of.commit === undefined
      ? []
      : [
          markup`commit ${escape(of.commit)}${of.modified ? say(' with changes', ' com alterações') : undefined}`,
        ]),
    escape(`Node.js ${of.node}`),
    markup`${number(of.cpus)} × ${escape(of.cpu)}${virtual}`,
    markup`${number(of.memoryBytes / 2 ** 30, 1)} GiB`,
    escape(`${of.kernel} ${of.architecture}`),
  ]);
}

function fact(name: Html, value: Html): Html {
  return markup`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

function facts(result: ContestResult): Html {
  const { requests, plannedRequests, failures, inconsistencies, fastPercent, all } = result;
  const bad = (value: number): Html =>
    value === 0 ? number(0) : markup`<span class="bad">${number(value)}</span>`;
  return markup`<dl class="facts">
    ${fact(say('requests', 'requisições'), markup`${number(requests)}${requests === plannedRequests ? undefined : markup` <small>${say('of', 'de')} ${number(plannedRequests)}</small>`}`)}
    ${fact(say('failures', 'falhas'), bad(failures))}
    ${fact(say('inconsistencies', 'inconsistências'), bad(inconsistencies))}
    ${fact(say(`under ${fastBelowMs} ms`, `abaixo de ${fastBelowMs} ms`), percentage(fastPercent))}
    ${fact(say('median', 'mediana'), markup`${milliseconds(all.latencyMs.p50)} <small>ms</small>`)}
    ${fact(escape('p99'), markup`${milliseconds(all.latencyMs.p99)} <small>ms</small>`)}
  </dl>`;
}

// --- Latency --------------------------------------------------------------------------------------

function latencyRow(name: Html, figures: Figures, total = false): Html {
  const { p50, p75, p95, p99, p999, max } = figures.latencyMs;
  const failures =
    figures.failures === 0
      ? number(0)
      : markup`<span class="bad">${number(figures.failures)}</span>`;
  return tableRow(
    [
      name,
      // Failures first, because a narrow screen shows only the left of a table.
      failures,
      ...[p50, p75, p95, p99, p999, max].map(milliseconds),
      number(figures.requests),
    ],
    total,
  );
}

/** The named parts of the run: the checks before the load, then the parts of the load. */
function bandsOf({ phases, durationMs }: ContestResult): Band[] {
  const load = phases.find(({ title }) => title === 'load');
  if (load === undefined) return [];
  const parts = load.parts ?? [{ title: 'load', startMs: load.startMs, endMs: load.endMs }];
  return [
    { label: say('checks', 'validações'), from: 0, to: load.startMs / 1000 },
    ...parts.map(({ title, startMs, endMs }) => ({
      label: phaseTitle(title),
      from: startMs / 1000,
      to: Math.min(endMs, durationMs) / 1000,
    })),
  ];
}

/** Rows of about a whole second: a shorter last one would look like a drop. */
function rowsOf({ timeline }: ContestResult): ContestResult['timeline'] {
  return timeline.filter(({ atMs }, index) => atMs - (timeline[index - 1]?.atMs ?? 0) > 500);
}

function latency(result: ContestResult): Html {
  const rows = rowsOf(result);
  const x = rows.map(({ atMs }) => atMs / 1000);
  const of = (key: 'p50' | 'p99' | 'max'): number[] =>
    rows.map(({ requests, latencyMs }) => (requests === 0 ? Number.NaN : latencyMs[key]));
  const slowest = Math.max(0, ...of('max').filter(Number.isFinite));
  const limit = { label: escape(`${fastBelowMs} ms`), value: fastBelowMs };
  const head = [
    escape(''),
    say('failures', 'falhas'),
    ...['p50', 'p75', 'p95', 'p99'].map(escape),
    say('p99.9', 'p99,9'),
    say('max', 'máx'),
    say('requests', 'requisições'),
  ];
  return section(
    'latency',
    say('Latency', 'Latência'),
    say(
      'Milliseconds from the moment a user was due to arrive to the last byte of the answer; a connection each.',
      'Milissegundos desde o instante previsto da chegada do usuário até o último byte da resposta; uma conexão para cada um.',
    ),
    table(head, [
      ...operations
        .filter((operation) => result.operations[operation].requests > 0)
        .map((operation) => latencyRow(operationNames[operation], result.operations[operation])),
      latencyRow(say('all', 'todas'), result.all, true),
    ]),
    chart({
      id: 'chart-latency',
      title: say('Latency over time', 'Latência ao longo do tempo'),
      unit: 'ms',
      scale: 'log',
      x,
      xLabel: clock,
      xFrom: 0,
      bands: bandsOf(result),
      levels: slowest > fastBelowMs / 3 ? [limit] : [],
      series: [
        { label: say('max', 'máx'), style: 'c', values: of('max') },
        { label: escape('p99'), style: 'b', values: of('p99') },
        { label: escape('p50'), style: 'a', values: of('p50') },
      ],
    }),
    chart({
      id: 'chart-requests',
      title: say('Requests per second', 'Requisições por segundo'),
      unit: '/s',
      small: true,
      x,
      xLabel: clock,
      xFrom: 0,
      bands: bandsOf(result),
      series: [
        {
          label: say('answered', 'respondidas'),
          style: 'a',
          area: true,
          values: rows.map(({ requests, atMs }, index) =>
            Math.round((1000 * requests) / (atMs - (rows[index - 1]?.atMs ?? 0))),
          ),
        },
      ],
    }),
  );
}

// --- What the services use ------------------------------------------------------------------------

function serviceRow(one: ServiceFigures): Html {
  const { name, limits, memoryPeakBytes, throttledPercent } = one;
  const throttled = markup`${number(throttledPercent, 2)} %`;
  return tableRow([
    escape(name),
    number(limits.cpus, 2),
    markup`${number(one.cpuPercentOfLimit)} %`,
    markup`${number(one.cpuPercentOfLimitMax)} %`,
    throttledPercent > 1 ? markup`<span class="bad">${throttled}</span>` : throttled,
    markup`${number(limits.memoryMegabytes)}`,
    markup`${megabytes(memoryPeakBytes)}`,
    markup`${number(one.memoryPercentOfLimit)} %`,
  ]);
}

function usage(result: ContestResult, { services }: UnderLimits): Html {
  const rows = rowsOf(result);
  const x = rows.map(({ atMs }) => atMs / 1000);
  const of = (name: string, key: string): number[] =>
    rows.map(({ samples }) => samples[name]?.[key] ?? Number.NaN);
  const cpus = services.reduce((sum, { limits }) => sum + limits.cpus, 0);
  const memory = services.reduce((sum, { limits }) => sum + limits.memoryMegabytes, 0);
  const plots = services.map(({ name, limits }, index) =>
    chart({
      id: `chart-service-${index}`,
      title: markup`${escape(name)} <span class="soft">${number(limits.cpus, 2)} CPU · ${number(limits.memoryMegabytes)} MiB</span>`,
      unit: '%',
      small: true,
      x,
      xLabel: clock,
      xFrom: 0,
      top: 100,
      levels: [{ label: say('limit', 'limite'), value: 100 }],
      series: [
        {
          label: escape('CPU'),
          style: 'a',
          area: true,
          values: of(name, 'cpuPercentOfLimit'),
        },
        {
          label: say('throttled', 'contido'),
          style: 'b',
          values: rows.map(({ samples }) => {
            const { throttledPeriods = 0, periods = 0 } = samples[name] ?? {};
            return periods === 0 ? 0 : (100 * throttledPeriods) / periods;
          }),
        },
        {
          label: say('memory', 'memória'),
          style: 'c',
          values: of(name, 'memoryBytes').map(
            (bytes) => (100 * bytes) / (limits.memoryMegabytes * 2 ** 20),
          ),
        },
      ],
    }),
  );
  return section(
    'services',
    say('What the services use of their limits', 'O que os serviços usam de seus limites'),
    say(
      `${cpus.toLocaleString('en-US', { maximumFractionDigits: 3 })} CPUs and ${memory} MiB in all, enforced by the kernel's control groups. A throttled period is a tenth of a second in which a service had used up its share.`,
      `${cpus.toLocaleString('pt-BR', { maximumFractionDigits: 3 })} CPUs e ${memory} MiB no total, impostos pelos control groups do kernel. Um período contido é um décimo de segundo em que o serviço esgotou sua cota.`,
    ),
    table(
      [
        escape(''),
        escape('CPUs'),
        say('used', 'usado'),
        say('busiest s', 'pico'),
        say('throttled', 'contido'),
        escape('MiB'),
        say('peak', 'pico'),
        say('of limit', 'do limite'),
      ],
      services.map(serviceRow),
    ),
    markup`<div class="pair">${plots}</div>`,
  );
}

function commits(result: ContestResult, { commits: figures }: UnderLimits): Html {
  const rows = rowsOf(result);
  const x = rows.map(({ atMs }) => atMs / 1000);
  const of = (key: string): number[] =>
    rows.map(({ samples }) => {
      const { commits: some = 0, [key]: value = Number.NaN } = samples['commits'] ?? {};
      return some === 0 ? Number.NaN : value;
    });
  const plot = (id: string, title: Html, unit: string, label: Html, key: string): Html =>
    chart({
      id,
      title,
      unit,
      small: true,
      x,
      xLabel: clock,
      xFrom: 0,
      series: [{ label, style: 'a', values: of(key) }],
    });
  return section(
    'commits',
    say('Commits', 'Commits'),
    markup`${number(figures.commits)} ${say('commits held', 'commits guardaram')} ${number(figures.transactions)} ${say(
      'transactions: one write and one flush to the device each, before any of their answers left.',
      'transações: uma escrita e um flush no disco em cada um, antes que qualquer resposta saísse.',
    )}`,
    markup`<div class="pair">
      ${plot('chart-flush', say('Write and flush', 'Escrita e flush'), 'ms', say('mean in each second', 'média em cada segundo'), 'meanMs')}
      ${plot('chart-batch', say('Transactions per commit', 'Transações por commit'), '', say('mean in each second', 'média em cada segundo'), 'batchMean')}
    </div>`,
  );
}

// --- Saturation -----------------------------------------------------------------------------------

function saturationSection({ heldRate, lateMs, steps, connections }: Saturation): Html {
  // If a rate was tried twice, the second try counts.
  const last = new Map(steps.map((step) => [step.rate, step]));
  const byRate = [...last.values()].sort((a, b) => a.rate - b.rate);
  const rate = (value: number): Html => markup`${short(value)}/s`;
  const each =
    connections === 'kept'
      ? say('on connections that are kept', 'em conexões mantidas')
      : say('a connection each', 'uma conexão para cada');
  return section(
    'saturation',
    markup`${number(heldRate)} ${say('arrivals a second held', 'chegadas por segundo sustentadas')}`,
    markup`${say(
      'The rate of arrivals was raised step by step until the 99th percentile passed ',
      'A taxa de chegadas subiu passo a passo até o percentil 99 passar de ',
    )}${short(lateMs)} ms${say(' or answers failed; ', ' ou respostas falharem; ')}${each}.`,
    chart({
      id: 'chart-saturation',
      title: say('Latency by rate of arrivals', 'Latência por taxa de chegadas'),
      unit: 'ms',
      scale: 'log',
      x: byRate.map((step) => step.rate),
      xLabel: rate,
      xScale: 'log',
      levels: [{ label: markup`${short(lateMs)} ms`, value: lateMs }],
      series: [
        { label: escape('p99'), style: 'b', values: byRate.map(({ p99Ms }) => p99Ms) },
        { label: escape('p50'), style: 'a', values: byRate.map(({ p50Ms }) => p50Ms) },
      ],
    }),
    table(
      [
        say('arrivals/s', 'chegadas/s'),
        say('answers/s', 'respostas/s'),
        escape('p50 ms'),
        escape('p99 ms'),
        say('errors', 'erros'),
        say("generator's CPU", 'CPU do gerador'),
        escape(''),
      ],
      steps.map((step) =>
        tableRow([
          number(step.rate),
          number(step.answered),
          milliseconds(step.p50Ms),
          milliseconds(step.p99Ms),
          number(step.errors),
          markup`${number(step.generatorCpuPercent)} %`,
          step.held
            ? markup`<span class="good">${say('held', 'sustentou')}</span>`
            : markup`<span class="bad">${say('not held', 'não sustentou')}</span>`,
        ]),
      ),
    ),
  );
}

// --- Checks ---------------------------------------------------------------------------------------

function check(good: boolean, what: Html, how: Html, detail?: Html): Html {
  const mark = markup`<span class="mark ${escape(good ? 'good' : 'bad')}" role="img" aria-label="${escape(good ? 'ok' : 'failed')}"></span>`;
  return markup`<li>${mark}<span>${what}</span><span class="how">${how}</span>${detail}</li>`;
}

function problemsOf(audit: readonly AuditedBalance[]): Html | undefined {
  const wrong = audit.filter(({ problem }) => problem !== undefined);
  if (wrong.length === 0) return undefined;
  const lines = wrong.map(({ client, problem }) => `client ${client}: ${problem ?? ''}`);
  return markup`<code>${escape(lines.join('; '))}</code>`;
}

function auditCheck(what: Html, audit: readonly AuditedBalance[], more: Html): Html {
  const right = audit.filter(({ problem }) => problem === undefined).length;
  const all = audit.length;
  const how = markup`${say(`${right} of ${all} accounts`, `${right} de ${all} contas`)}${more}`;
  return check(right === all && all > 0, what, how, problemsOf(audit));
}

function checks(result: ContestResult): Html {
  const { phases, failureGroups, audit, underLimits } = result;
  const after = underLimits?.afterKill;
  return section(
    'checks',
    say('What was checked', 'O que foi verificado'),
    say(
      'Each answer by itself (status, shape, limit, balance), and then the whole: what was acknowledged must add up.',
      'Cada resposta por si (status, formato, limite, saldo) e depois o todo: o que foi confirmado tem de fechar.',
    ),
    markup`<ul class="checks">
      ${phases.map(({ title, requests, failures }) =>
        check(
          failures === 0,
          phaseTitle(title),
          markup`${number(requests)} ${requests === 1 ? say('request', 'requisição') : say('requests', 'requisições')}${failures === 0 ? undefined : markup`, <span class="bad">${number(failures)} ${say('failed', 'falharam')}</span>`}`,
        ),
      )}
      ${failureGroups
        .slice(0, 8)
        .map(({ phase, code, count, request, message }) =>
          check(
            false,
            markup`${number(count)} × ${phaseTitle(phase)} (${escape(code)})`,
            escape(''),
            markup`<code>${escape(request)}<br>${escape(message)}</code>`,
          ),
        )}
      ${
        audit.length === 0
          ? undefined
          : auditCheck(
              say(
                'balances after the run are the sum of what was acknowledged',
                'saldos após a execução são a soma do que foi confirmado',
              ),
              audit,
              escape(''),
            )
      }
      ${
        after === undefined
          ? undefined
          : auditCheck(
              say(
                'balances after the database was killed (SIGKILL) and had recovered are the same',
                'saldos após o banco ser morto (SIGKILL) e se recuperar são os mesmos',
              ),
              after.audit,
              markup`, ${say('answering again after', 'respondendo de novo após')} ${number(after.backAfterMs / 1000, 1)} s`,
            )
      }
    </ul>`,
  );
}

// --- The page -------------------------------------------------------------------------------------

function foot({ player }: ContestResult): Html {
  const { cpuPercent, latenessMs } = player;
  return markup`<footer><p>${say("The player's own share: ", 'A parte do próprio jogador: ')}${number(cpuPercent)} % ${say('of a core; it began users', 'de um núcleo; iniciou usuários')} ${milliseconds(latenessMs.p50)} ms ${say('late at the median and', 'atrasado na mediana e')} ${milliseconds(latenessMs.p99)} ms ${say('at the 99th percentile, which the latencies above hold.', 'no percentil 99, e isso está nas latências acima.')}</p>
    <p>${say('Made by', 'Feito por')} <code>espora contest --report</code>. ${say('Nothing on this page is loaded from anywhere.', 'Nada nesta página é carregado de fora.')}</p></footer>`;
}

/** The whole page. */
export function htmlReport(result: ContestResult): string {
  const { underLimits, saturation } = result;
  const subject = underLimits?.title ?? result.service;
  const titles = [
    `espora · ${subject} · contest`,
    `espora · ${subject} · Rinha de Backend`,
  ] as const;
  return markup`<!doctype html>
<html lang="en" data-lang="en" data-title-en="${escape(titles[0])}" data-title-pt="${escape(titles[1])}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(titles[0])}</title>
<style>${style as Html}</style>
</head>
<body>
<main>
<nav><b>espora</b><div><button type="button" data-set-lang="en" lang="en">English</button><button type="button" data-set-lang="pt" lang="pt-BR">Português</button><button type="button" data-theme="" aria-label="Light or dark / Claro ou escuro">◐</button></div></nav>
${head(result)}
${facts(result)}
${latency(result)}
${underLimits === undefined ? undefined : [usage(result, underLimits), commits(result, underLimits)]}
${saturation === undefined ? undefined : saturationSection(saturation)}
${checks(result)}
${foot(result)}
</main>
<script>${script as Html}</script>
</body>
</html>
`;
}
