// `espora contest`: plays the contest's test against a running service, or against services that it starts
// itself under the contest's limits, and prints the result.
import { randomInt } from 'node:crypto';
import { seedBelow } from '#espora/cli/contest-command.js';
import type { ContestModule, RunOptions } from '#espora/cli/contest-command.js';
import {
  colourOn,
  print,
  printError,
  printJson,
  printNote,
  printShown,
} from '#espora/cli/output.js';
import { onStopSignals } from '#espora/cli/stop-signals.js';
import { EsporaError } from '#espora/errors.js';
import type { Subject } from '#espora/lab/subject.js';
import { optionOf } from '#espora/options/table.js';
import type { Progress } from './contest.js';
import { contestPlan, quick } from './plan.js';
import type { Plan } from './plan.js';
import type { ContestResult } from './result.js';

/** Exit code of a program that Ctrl-C ended. */
const interrupted = 130;

export const contest: ContestModule['contest'] = (options) =>
  runContest(contestPlan(options.quick ? quick : {}), options);

export const compare: ContestModule['compare'] = async (before, after) => {
  try {
    const { compareText, readResult } = await import('./compare.js');
    print(compareText(readResult(before), readResult(after), [before, after]));
    return 0;
  } catch (error) {
    return printError('espora contest compare', error);
  }
};

/** Plays a plan and prints the result. Resolves with the exit code; never rejects. */
export async function runContest(plan: Plan, options: RunOptions): Promise<number> {
  try {
    return await play(plan, options);
  } catch (error) {
    return printError('espora contest', error);
  }
}

/** The options, checked. Throws for invalid or contradictory ones before anything is started. */
export function checkedOptions(options: RunOptions): RunOptions {
  const { compose, limits, topology, host } = options;
  const invalid = (message: string): EsporaError => new EsporaError('ERR_ESPORA_INVALID', message);
  const starts = compose !== undefined || limits === true;
  if (compose !== undefined && limits === true) {
    throw invalid('--compose and --limits each start services of their own: choose one');
  }
  if (starts && host !== '127.0.0.1') {
    throw invalid('--host names a service that runs already: leave it out where one is started');
  }
  if (limits !== true || topology === undefined) return options;
  const read = optionOf('topology').kind.schema.safeParse(topology);
  if (read.success) return { ...options, topology: read.data as string };
  throw invalid(`--topology is ${topology}: ${read.error.issues[0]?.message ?? 'it is unknown'}`);
}

/** Writes a file; throws an error of one sentence if that fails. */
async function write(file: string, text: string): Promise<void> {
  const { writeFile } = await import('node:fs/promises');
  await writeFile(file, text).catch((error: unknown) => {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new EsporaError('ERR_ESPORA_IO', `${file} cannot be written (${code})`);
  });
}

/** Starts the services if that was asked for; undefined: they run already. */
async function startSubject(
  { compose, limits, topology, data = '.', port }: RunOptions,
  signal: AbortSignal,
): Promise<Subject | undefined> {
  if (compose !== undefined) {
    const { startCompose } = await import('#espora/lab/compose-project.js');
    return startCompose(compose, { port, signal, onLine: printNote });
  }
  if (limits !== true) return undefined;
  const [{ startLimited }, { topologies }] = await Promise.all([
    import('#espora/lab/limited-topology.js'),
    import('#espora/topology/index.js'),
  ]);
  const chosen = topologies[topology as keyof typeof topologies];
  printNote(`starting topology ${chosen.name} in control groups`);
  return startLimited(chosen, { port, dataParent: data, signal, onWarning: printNote });
}

/** Adds the highest rate that the service holds. */
async function withSaturation(
  result: ContestResult,
  generator: string,
  { host, port, quick = false }: RunOptions,
  signal: AbortSignal,
): Promise<ContestResult> {
  const [search, { resolveTarget }, { stepLine }] = await Promise.all([
    import('./saturation.js'),
    import('./service.js'),
    import('./report.js'),
  ]);
  const target = await resolveTarget({ host, port });
  const saturation = await search.saturate({
    generator,
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

async function play(plan: Plan, given: RunOptions): Promise<number> {
  const options = checkedOptions(given);
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
  // Before minutes are spent on playing, because it may be impossible on this machine.
  const generator =
    options.saturate === true ? await (await import('./saturation.js')).loadGenerator() : undefined;
  const subject = await startSubject(options, stop.signal);
  try {
    const place = subject === undefined ? options : { ...options, port: subject.port };
    const onEnd = (end: () => void): void => void (endProgress = end);
    let result = await playOn(subject, plan, place, stop.signal, onEnd);
    if (generator !== undefined && result.outcome !== 'interrupted') {
      result = await withSaturation(result, generator, place, stop.signal);
    }
    return await tell(result, options);
  } finally {
    await subject?.stop();
  }
}

/** Prints and writes the result as asked for; returns the exit code. */
async function tell(result: ContestResult, { json, report: file }: RunOptions): Promise<number> {
  if (typeof json === 'string') await write(json, `${JSON.stringify(result)}\n`);
  if (file !== undefined) {
    const { htmlReport } = await import('./html/html-report.js');
    await write(file, htmlReport(result));
  }
  if (json === true) {
    printJson(result);
  } else {
    const report = await import('./report.js');
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
      import('./contest.js'),
      import('./plan.js'),
      import('./progress.js'),
      import('./report.js'),
      import('./service.js'),
      import('./under-limits.js'),
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
