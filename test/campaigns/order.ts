// Campaign D: a database under concurrent, pipelined load is traced from outside, and every answer is
// audited: nothing that reveals a state leaves before the flush that makes it durable.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '#espora/lab/random.js';
import { parseTrace } from '../crash/strace.js';
import { demand, inDirectory } from './campaign.js';
import type { CampaignOptions } from './campaign.js';
import { compare, History } from './history.js';
import { DatabaseLife, readRecovered } from './lives.js';
import { Load } from './load.js';
import { audit } from './order-audit.js';
import type { AuditReport } from './order-audit.js';
import { damageIn } from './store.js';
import { hookEnvironment, noFlush } from './tools.js';
import { auditedCalls, eventsOf } from './trace-events.js';

export interface OrderOptions extends CampaignOptions {
  /** How long to go on, in seconds; at least one trace is made. */
  readonly seconds: number;
  /** The services that are traced lie about their flushes, on purpose: every third of them is left out. */
  readonly lie?: boolean;
}

/** Sums over all traces. */
export type OrderSummary = { traces: number } & {
  -readonly [Name in Exclude<keyof AuditReport, 'findings'>]: number;
};

// Longer strings are cut; a batch of all clients' transactions together is far below.
const stringBytesMax = 131_072;
const traceMs = 2000;
// On a machine that is busy with other things it may take a while until every case has come.
const tracesMax = 20;

/** Runs the campaign; throws a CampaignFailure. */
export async function orderCampaign(options: OrderOptions): Promise<OrderSummary> {
  const random = new Random(options.seed);
  const deadline = performance.now() + options.seconds * 1000;
  const summary: OrderSummary = {
    traces: 0,
    answers: 0,
    acknowledged: 0,
    refusals: 0,
    statements: 0,
    refusalsThatWaited: 0,
    statementsThatWaited: 0,
    records: 0,
    flushes: 0,
    segments: 0,
  };
  const missing = (): readonly string[] =>
    (['acknowledged', 'statementsThatWaited', 'refusalsThatWaited', 'segments'] as const).filter(
      (name) => summary[name] === 0,
    );
  do {
    const work = async (directory: string): Promise<void> => {
      const report = await traceOnce(directory, random, options);
      const { findings, ...counts } = report;
      demand(`trace ${summary.traces + 1}`, findings);
      for (const [name, count] of Object.entries(counts)) {
        summary[name as keyof typeof counts] += count;
      }
      summary.traces++;
      options.say(
        `trace ${summary.traces}: ${report.answers} answers, ${report.flushes} flushes, ` +
          `${report.statementsThatWaited} statements and ${report.refusalsThatWaited} refusals had to wait`,
      );
    };
    await inDirectory(options, work);
  } while (performance.now() < deadline || (missing().length > 0 && summary.traces < tracesMax));
  // Otherwise the interesting cases did not come, and nothing was proven.
  demand(
    'all traces together',
    missing().map((name) => `${name}: 0`),
  );
  return summary;
}

async function traceOnce(
  directory: string,
  random: Random,
  { lie = false }: OrderOptions,
): Promise<AuditReport> {
  const data = join(directory, 'data');
  const path = join(directory, 'db.sock');
  const trace = join(directory, 'trace');
  const life = new DatabaseLife({
    data,
    path,
    under: [
      ...['strace', '--seccomp-bpf', '-f', '-o', trace, '-xx', '-s', String(stringBytesMax)],
      ...['-e', `trace=${auditedCalls}`, '-e', 'signal=none'],
    ],
    environment: lie ? await hookEnvironment({ fail: { ...noFlush, every: 3 } }) : {},
  });
  if (!(await life.ready)) demand('a start', [life.stderr]);
  const history = new History();
  const load = new Load({ path }, history, {
    clients: 8 + random.below(24),
    burstMax: 1 + random.below(8),
    keepAlive: random.below(4) !== 0,
    seed: random.below(2 ** 31),
  });
  await Promise.race([sleep(traceMs), life.ended]);
  await load.stop();
  const code = await life.stop();
  if (code !== 0) demand('a stop in order', [`ended with ${code}: ${life.stderr}`]);
  demand('the store behind the trace', [
    ...(await damageIn(data)),
    ...compare(history, await readRecovered(data, path)),
  ]);
  return audit(eventsOf(parseTrace(await readFile(trace, 'latin1'))));
}
