// The figures that documents quote from bench/results/: a table for each group in bench/README.md, and
// four figures in the READMEs. Each is named by its row and column, and taken as it was written there.

import { parseResults } from './results.js';
import type { Measured } from './results.js';
import type { Group } from './trial.js';

/** A figure of ours and the same figure of a peer, as places in a group's document of results. */
interface Comparison {
  readonly group: Group;
  readonly trial: string;
  /** A text that both rows hold; empty: none. */
  readonly shared: string;
  /** What else the row of ours and that of the peer hold. */
  readonly rows: readonly [ours: string, peer: string];
  readonly columns: readonly [ours: string, peer: string];
  /** The title of the ratio's column in either row, or the words that its budget has behind ours. */
  readonly ratio: string;
}

/** `group | trial | shared | ours | peer | column (or ours // peer) | ratio`, as the documents have them. */
function comparisonOf(line: string): Comparison {
  const [group, trial = '', shared = '', ours = '', peer = '', column = '', ratio = ''] = line
    .split('|')
    .map((part) => part.trim());
  const [one = '', other = one] = column.split(' // ');
  return {
    group: group as Group,
    trial,
    shared,
    rows: [ours, peer],
    columns: [one, other],
    ratio,
  };
}

const lines = (text: string): readonly Comparison[] => text.trim().split('\n').map(comparisonOf);

/** What stands in the tables of bench/README.md. */
export const summaries = lines(`
  micro | call | a Buffer | native, one by one | JavaScript | CPU ns each
  micro | parse | POST, head and body, 210 bytes | native, data plane | JavaScript | CPU ns each | speed over JavaScript
  micro | parse | POST, head and body, 210 bytes | native, data plane | Node's llhttp | CPU ns each | speed over llhttp
  micro | parse | JSON body, 55 bytes | native, data plane | JavaScript | CPU ns each | speed over JavaScript
  micro | apply | five accounts, credits and debits | native, data plane | JavaScript | CPU ns each | speed over JavaScript
  micro | encode | description of 10 ASCII characters | native, data plane | JavaScript | CPU ns each | speed over JavaScript
  micro | crc32c | 4 KiB | native, data plane | JavaScript | CPU ns each | speed over JavaScript
  micro | append | 1 | the store | bare loop, one block | p50, µs | p50 over as many bytes bare
  micro | append | 64 | the store | bare loop, one block | p50, µs | p50 over as many bytes bare
  micro | rewriting | | closed segments being rewritten | nothing beside them | p99, µs | p99 over quiet
  micro | open | 10,000,000 | | | open, ms // full replay, ms
  stack | contest-load | | espora, topology relay, flush before each answer | constant answer over TCP, nothing stored | p50 ms
  stack | contest-load | | espora, topology relay, flush before each answer | constant answer over TCP, nothing stored | p99
  stack | rewriting-p99 | | a backlog, without pauses: 4 MiB | nothing to rewrite: segments of 64 MiB | p99 | p99 over nothing
  peers | store-append | 1 in flight | espora | lmdb | records per second | espora is
  peers | store-append | 64 in flight | espora | lmdb | records per second | espora is
  peers | store-append | 4096 in flight | espora | lmdb | records per second | espora is
  peers | store-batch | batch of 1 | espora | better-sqlite3 | records per second | espora is
  peers | store-batch | batch of 64 | espora | better-sqlite3 | records per second | espora is
  peers | store-batch | batch of 4096 | espora | better-sqlite3 | records per second | espora is
  peers | store-read | 1,000,000 records | espora | lmdb | records per second | espora is
  chain | chain | 64 connections kept, saturated | espora, relay | HAProxy twice, then a constant answer; nothing stored | requests/s | rate over that of HAProxy
  chain | chain | 64 connections kept, saturated | espora, handoff | HAProxy twice, then a constant answer; nothing stored | requests/s | rate over that of HAProxy
  chain | chain | 64 connections kept, saturated | espora, relay | nginx, 2 × fastify and pg, PostgreSQL | requests/s | rate over that of nginx
  chain | chain | a connection each, saturated | espora, relay | HAProxy twice, then a constant answer; nothing stored | requests/s | rate over that of HAProxy
  chain | chain | a connection each, saturated | espora, handoff | HAProxy twice, then a constant answer; nothing stored | requests/s | rate over that of HAProxy
  chain | chain | a connection each, saturated | espora, relay | nginx, 2 × fastify and pg, PostgreSQL | requests/s | rate over that of nginx
  limits | saturation | | espora, relay | HAProxy twice, then a constant answer; nothing stored | held, a connection each
  limits | saturation | | espora, handoff | HAProxy twice, then a constant answer; nothing stored | held, a connection each
  limits | saturation | | espora, relay | nginx, 2 × fastify and pg, PostgreSQL | held, a connection each
  arrivals | arrivals | | espora, relay | HAProxy twice, then a constant answer; nothing stored | p50 ms | p50 over that of HAProxy's chain:
  arrivals | arrivals | | espora, relay | HAProxy twice, then a constant answer; nothing stored | p99 | p99 over that of HAProxy's chain:
  arrivals | arrivals | | espora, handoff | HAProxy twice, then a constant answer; nothing stored | p50 ms | p50 over that of HAProxy's chain:
  arrivals | arrivals | | espora, handoff | HAProxy twice, then a constant answer; nothing stored | p99 | p99 over that of HAProxy's chain:
  arrivals | arrivals | | espora, relay | nginx, 2 × fastify and pg, PostgreSQL | p99
  containers | containers | | docker/relay.yml | HAProxy twice, then a constant answer; nothing stored | p50 ms of a turn | p50 over that of HAProxy's chain:
  containers | containers | | docker/relay.yml | HAProxy twice, then a constant answer; nothing stored | p99 of a turn | p99 over that of HAProxy's chain:
  containers | containers | | docker/handoff.yml | HAProxy twice, then a constant answer; nothing stored | p50 ms of a turn | p50 over that of HAProxy's chain:
  containers | containers | | docker/handoff.yml | HAProxy twice, then a constant answer; nothing stored | p99 of a turn | p99 over that of HAProxy's chain:
  load | forwarding | 64 connections kept, saturated | espora, relay | HAProxy, mode tcp | CPU µs per request | over HAProxy's
  load | forwarding | a connection each, saturated | espora, relay | HAProxy, mode tcp | CPU µs per request | over HAProxy's
  load | forwarding | a connection each, saturated | espora, handoff | HAProxy, mode tcp | CPU µs per request | over HAProxy's
  load | forwarding | a connection each, 340/s | espora, relay | HAProxy, mode tcp | CPU µs per request | over HAProxy's
  load | forwarding | a connection each, 340/s | espora, handoff | HAProxy, mode tcp | CPU µs per request | over HAProxy's
  load | bulk | | espora, relay | HAProxy, mode tcp, option splice-auto | s | time over the better HAProxy's
  load | splice | 64.0 KiB | TCP, unix | TCP, unix | spliced, CPU µs // copied, CPU µs | spliced over copied
`);

/** The four figures of the READMEs, with their units. */
const landing = lines(`
  peers | store-append | 64 in flight | espora | lmdb | records per second | /s
  chain | chain | a connection each, saturated | espora, relay | nginx, 2 × fastify and pg, PostgreSQL | requests/s | /s
  arrivals | arrivals | | espora, relay | nginx, 2 × fastify and pg, PostgreSQL | p99 | ms
  load | forwarding | a connection each, saturated | espora, relay | HAProxy, mode tcp | CPU µs per request | µs
`);

/** The languages of the READMEs. */
export type Language = 'en' | 'pt-BR';

const landingWords: Readonly<Record<Language, readonly string[]>> = {
  en: [
    'durable appends from JavaScript, 64 in flight',
    'requests to the whole service within 1.5 CPUs, a connection for each',
    '99th percentile of the answers at 340 connections a second',
    'CPU of the balancer for a connection with one request',
  ],
  'pt-BR': [
    'gravações duráveis a partir de JavaScript, 64 em andamento',
    'requisições ao serviço inteiro em 1,5 CPU, uma conexão para cada',
    'percentil 99 das respostas com 340 conexões por segundo',
    'CPU do balanceador por conexão com uma requisição',
  ],
};

type Results = ReadonlyMap<string, Measured>;

/** A figure without its range: "1.02 × (0.8–1.2)" is "1.02×". */
const median = (cell: string): string => cell.replace(/ \(.*\)$/, '').replace(' ×', '×');

/** The cell of the one row with these texts; undefined where there is no such row or column. */
function cellAt(
  results: Results,
  trial: string,
  texts: readonly string[],
  column: string,
): string | undefined {
  const measured = results.get(trial);
  if (measured === undefined) return undefined;
  const { columns, rows } = measured;
  const found = rows.filter((row) => texts.every((text) => text === '' || row.includes(text)));
  const cell = found.length === 1 ? found[0]![columns.indexOf(column)] : undefined;
  return cell === undefined || cell === '' ? undefined : median(cell);
}

/** The figure of ours (0) or of the peer (1). A RangeError where the documents don't have it. */
function figureOf(
  results: Results,
  { trial, shared, rows, columns }: Comparison,
  of: 0 | 1,
): string {
  const figure = cellAt(results, trial, [shared, rows[of]], columns[of]);
  if (figure !== undefined) return figure;
  throw new RangeError(`${trial} has no figure "${columns[of]}" of "${shared}", "${rows[of]}"`);
}

/** The ratio of both: from its column, or from its budget with the limit, and whether that held. */
function ratioOf(results: Results, { trial, shared, rows, ratio }: Comparison): string {
  if (ratio === '') return '';
  for (const row of rows) {
    const cell = cellAt(results, trial, [shared, row], ratio);
    if (cell !== undefined) return `${cell} (${ratio})`;
  }
  const begin = [rows[0], ...(shared === '' ? [] : [shared])].join(', ');
  const remark = results.get(trial)?.remarks.find((text) => text.startsWith(`${begin}: ${ratio}`));
  const parts = /: ([\d.]+)(?: \([^)]*\))?, budget (.*): (holds|does NOT hold)$/.exec(remark ?? '');
  if (parts === null) throw new RangeError(`${trial} has no ratio "${ratio}" of "${begin}"`);
  const [, value, limit, verdict] = parts;
  return `${value}× (budget ${limit}${verdict === 'holds' ? '' : ', does NOT hold'})`;
}

const table = (head: string, align: string, rows: readonly (readonly string[])[]): string =>
  [head, align, ...rows.map((cells) => `| ${cells.join(' | ')} |`)].join('\n');

/** How many of a group's budgets hold. */
function budgetsOf(results: Results): string {
  const remarks = [...results.values()].flatMap((measured) => measured.remarks);
  const budgets = remarks.filter((text) => /, budget [≤≥] [\d.]+: /.test(text));
  const held = budgets.filter((text) => text.endsWith(': holds'));
  return budgets.length === 0 ? '' : `${held.length} of ${budgets.length} budgets hold. `;
}

/** The table of a group for bench/README.md, from the group's document of results. */
export function summaryOf(group: Group, text: string): string {
  const results = parseResults(text);
  const rows = summaries
    .filter((comparison) => comparison.group === group)
    .map((comparison) => {
      const { trial, shared, rows: names, columns } = comparison;
      const same = columns[0] === columns[1];
      const [ours, peer] = ([0, 1] as const).map((of) => {
        const name = same ? names[of] : columns[of];
        return `${figureOf(results, comparison, of)} (${name})`;
      });
      const what = [shared, ...(same ? [columns[0]] : [])].filter((part) => part !== '').join(': ');
      return [`\`${trial}\``, what, ours!, peer!, ratioOf(results, comparison)];
    });
  const all = `[results/${group}.md](results/${group}.md)`;
  return [
    table('| trial | what | espora | compared with | ratio |', '|---|---|---|---|---|', rows),
    `${budgetsOf(results)}Everything that was measured, with ranges, machine, commit and date: ${all}.`,
  ].join('\n\n');
}

/** A number as the language writes it. */
const inLanguage = (figure: string, language: Language): string =>
  language === 'en' ? figure : figure.replace(/[.,]/g, (mark) => (mark === '.' ? ',' : '.'));

/** The table of the README in a language; `read` gives a group's document of results. */
export function landingTable(language: Language, read: (group: Group) => string): string {
  const rows = landing.map((comparison, index) => {
    const results = parseResults(read(comparison.group));
    const unit = comparison.ratio.replace(/^(?!\/)/, ' ');
    const [ours, peer] = ([0, 1] as const).map(
      (of) => `${inLanguage(figureOf(results, comparison, of), language)}${unit}`,
    );
    const what = `[${landingWords[language][index]!}](bench/results/${comparison.group}.md)`;
    const name = comparison.rows[1].replace(' and ', language === 'en' ? ' and ' : ' e ');
    return [what, ours!, `${peer!} (${name})`];
  });
  const head = language === 'en' ? '| | espora | compared with |' : '| | espora | comparado com |';
  return table(head, '|---|---|---|', rows);
}
