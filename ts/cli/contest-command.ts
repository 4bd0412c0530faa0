// `espora contest`: plays the contest's test against a running service, or against services that it
// starts itself under the contest's limits, and prints what came of it.
import { randomInt } from 'node:crypto';
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import type { Progress } from '../contest/contest.js';
import type { Plan } from '../contest/plan.js';
import type { ContestResult } from '../contest/result.js';
import type { Subject } from '../contest/subject.js';
import { EsporaError } from '../errors.js';
import { optionOf } from '../options/table.js';
import { colourOn, print, printError, printJson, printNote, printShown } from './output.js';
import { onStopSignals } from './stop-signals.js';

/** What a run is told. */
export interface RunOptions {
  readonly host: string;
  readonly port: number;
  readonly seed?: number;
  /** Seconds. */
  readonly wait: number;
  /** True: print the result as JSON; a name: write it there too. */
  readonly json: boolean | string;
  /** File for the report as HTML. */
  readonly report?: string;
  /** Compose file whose containers are started and stopped. */
  readonly compose?: string;
  /** Whether a topology is started and stopped in control groups. */
  readonly limits?: boolean;
  readonly topology?: string;
  /** Where the store of such a topology is made. */
  readonly data?: string;
  readonly saturate?: boolean;
  /** Whether searching for the highest rate may be coarse. */
  readonly quick?: boolean;
}

interface Flags extends RunOptions {
  readonly quick: boolean;
}

/** Exit code of a program that Ctrl-C ended. */
const interrupted = 130;
const seedBelow = 2 ** 32;

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** Adds `contest` to the program; `end` is told the exit code of a run. */
export function registerContestCommand(
  program: Command,
  end: (exitCode: number) => void = (exitCode) => {
    process.exitCode = exitCode;
  },
): void {
  const command = program
    .command('contest')
    .description("play the contest's test against a running service and compute the prize")
    .option('--quick', 'the same peak rates, but 15 s of ramp and 15 s of plateau', false)
    .option('--host <host>', 'host of the service', '127.0.0.1')
    .addOption(
      new Option('--port <number>', 'its port').default(9999).argParser(wholeNumber(1, 65_535)),
    )
    .addOption(
      new Option('--seed <number>', 'repeat the random choices of an earlier run').argParser(
        wholeNumber(0, seedBelow - 1),
      ),
    )
    .addOption(
      new Option('--wait <seconds>', 'how long the service may take to answer at first')
        .default(40)
        .argParser(wholeNumber(0, 3600)),
    )
    .option('--compose <file>', "start a compose file's containers, play, stop them")
    .option('--limits', 'start a topology in control groups with its limits, play, stop it', false)
    .option('--topology <name>', 'topology that --limits starts', 'proxy')
    .option(
      '--data <directory>',
      'directory in which --limits makes its store, removed at the end',
      '.',
    )
    .option('--saturate', 'also raise the rate of arrivals until answers are late or fail', false)
    .option('--report <file>', 'write a report as one HTML file')
    .option('--json [file]', 'print the result as JSON, or write it to a file', false)
    .allowExcessArguments(false)
    .action(async (flags: Flags) => {
      end(await contest(flags));
    });
  command
    .command('compare <before> <after>')
    .description('print how two results that --json wrote differ, as ratios')
    .allowExcessArguments(false)
    .action(async (before: string, after: string) => {
      end(await compare(before, after));
    });
}

async function contest(flags: Flags): Promise<number> {
  const plans = await import('../contest/plan.js');
  return runContest(plans.contestPlan(flags.quick ? plans.quick : {}), flags);
}

async function compare(before: string, after: string): Promise<number> {
  try {
    const { compareText, readResult } = await import('../contest/compare.js');
    print(compareText(readResult(before), readResult(after), [before, after]));
    return 0;
  } catch (error) {
    return printError('espora contest compare', error);
  }
}

/** Plays a plan and prints what came of it. Resolves with the exit code; never rejects. */
export async function runContest(plan: Plan, options: RunOptions): Promise<number> {
  try {
    return await play(plan, options);
  } catch (error) {
    return printError('espora contest', error);
  }
}

/** Says in words what can't be meant together, or not at all, before anything is started. */
function checkOptions({ compose, limits, topology, host }: RunOptions): void {
  const invalid = (message: string): EsporaError => new EsporaError('ERR_ESPORA_INVALID', message);
  const starts = compose !== undefined || limits === true;
  if (compose !== undefined && limits === true) {
    throw invalid('--compose and --limits each start services of their own: choose one');
  }
  if (starts && host !== '127.0.0.1') {
    throw invalid('--host names a service that runs already: leave it out where one is started');
  }
  if (limits !== true || topology === undefined) return;
  const read = optionOf('topology').kind.schema.safeParse(topology);
  if (read.success) return;
  throw invalid(`--topology is ${topology}: ${read.error.issues[0]?.message ?? 'it is unknown'}`);
}

/** Writes a file, or says in one sentence why that can't be. */
async function write(file: string, text: string): Promise<void> {
  const { writeFile } = await import('node:fs/promises');
  await writeFile(file, text).catch((error: unknown) => {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new EsporaError('ERR_ESPORA_IO', `${file} cannot be written (${code})`);
  });
}

/** Starts what is to be started; undefined: something runs already. */
async function startSubject(
  { compose, limits, topology, data = '.', port }: RunOptions,
  signal: AbortSignal,
): Promise<Subject | undefined> {
  if (compose !== undefined) {
    const { startCompose } = await import('../contest/compose-project.js');
    return startCompose(compose, { port, signal, onLine: printNote });
  }
  if (limits !== true) return undefined;
  const [{ startLimited }, { topologies }] = await Promise.all([
    import('../contest/limited-topology.js'),
    import('../topology/index.js'),
  ]);
  const chosen = topologies[topology as keyof typeof topologies];
  printNote(`starting topology ${chosen.name} in control groups`);
  return startLimited(chosen, { port, dataParent: data, signal, onWarning: printNote });
}

/** Adds how much the service stands. */
async function withSaturation(
  result: ContestResult,
  { host, port, quick = false }: RunOptions,
  signal: AbortSignal,
): Promise<ContestResult> {
  const [search, { resolveTarget }, { stepLine }] = await Promise.all([
    import('../contest/saturation.js'),
    import('../contest/service.js'),
    import('../contest/report.js'),
  ]);
  const target = await resolveTarget({ host, port });
  const saturation = await search.saturate({
    target: 'host' in target ? `${target.host}:${target.port}` : target.path,
    seconds: quick ? 2 : 8,
    search: quick ? search.quickSearch : search.fullSearch,
    signal,
    onStep: (step) => {
      printNote(stepLine(step));
    },
  });
  return { ...result, saturation };
}

async function play(plan: Plan, options: RunOptions): Promise<number> {
  checkOptions(options);
  const stop = new AbortController();
  let endProgress: () => void = () => undefined;
  onStopSignals({
    first: () => {
      stop.abort();
    },
    again: () => {
      endProgress();
      process.exit(interrupted);
    },
  });
  const subject = await startSubject(options, stop.signal);
  try {
    const place = subject === undefined ? options : { ...options, port: subject.port };
    const onEnd = (end: () => void): void => void (endProgress = end);
    let result = await playOn(subject, plan, place, stop.signal, onEnd);
    if (options.saturate === true && result.outcome !== 'interrupted') {
      result = await withSaturation(result, place, stop.signal);
    }
    return await tell(result, options);
  } finally {
    await subject?.stop();
  }
}

/** Prints and writes what was asked for; returns the exit code. */
async function tell(result: ContestResult, { json, report: file }: RunOptions): Promise<number> {
  if (typeof json === 'string') await write(json, `${JSON.stringify(result)}\n`);
  if (file !== undefined) {
    const { htmlReport } = await import('../contest/html/html-report.js');
    await write(file, htmlReport(result));
  }
  if (json === true) {
    printJson(result);
  } else {
    const report = await import('../contest/report.js');
    const paint = colourOn(process.stdout) ? report.colours : report.noColours;
    printShown(report.reportText(result, paint));
  }
  if (result.outcome === 'interrupted') return interrupted;
  return result.outcome === 'passed' ? 0 : 1;
}

async function playOn(
  subject: Subject | undefined,
  plan: Plan,
  { host, port, json, wait, seed = randomInt(seedBelow) }: RunOptions,
  signal: AbortSignal,
  onEnd: (end: () => void) => void,
): Promise<ContestResult> {
  const [{ playContest }, { requestsOf }, { createProgress }, report, { authorityOf }, limited] =
    await Promise.all([
      import('../contest/contest.js'),
      import('../contest/plan.js'),
      import('../contest/progress.js'),
      import('../contest/report.js'),
      import('../contest/service.js'),
      import('../contest/under-limits.js'),
    ]);
  const progress = createProgress(process.stderr);
  onEnd(() => {
    progress.end();
  });
  if (json !== true) {
    const service = `http://${authorityOf({ host, port })}`;
    print(`${report.headLine(service, plan.name, requestsOf(plan), seed)}\n`);
  }
  const told = {
    plan,
    seed,
    waitMs: wait * 1000,
    signal,
    onWait: (reason: string) => {
      printNote(`waiting up to ${wait} s: ${reason}`);
    },
    onProgress: (now: Progress) => {
      progress.show(now);
    },
  };
  const played =
    subject === undefined
      ? playContest({ ...told, host, port })
      : limited.playUnderLimits(subject, told);
  return played.finally(() => {
    progress.end();
  });
}
