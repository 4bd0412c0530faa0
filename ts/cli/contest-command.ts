// `espora contest`: plays the contest's test against a running service and prints what came of it.
import { randomInt } from 'node:crypto';
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import type { Plan } from '../contest/plan.js';
import { print, printError, printJson } from './output.js';
import { onStopSignals } from './stop-signals.js';

/** What a run is told. */
export interface RunOptions {
  readonly host: string;
  readonly port: number;
  readonly seed?: number;
  /** Seconds. */
  readonly wait: number;
  readonly json: boolean;
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
  program
    .command('contest')
    .description("play the contest's test against a running service and compute the prize")
    .option('--quick', 'the same peak rates, but 15 s of ramp and 15 s of plateau', false)
    .option('--host <host>', 'where the service listens', '127.0.0.1')
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
    .option('--json', 'print the result as JSON', false)
    .allowExcessArguments(false)
    .action(async (flags: Flags) => {
      end(await contest(flags));
    });
}

async function contest({ quick, ...options }: Flags): Promise<number> {
  const plans = await import('../contest/plan.js');
  return runContest(plans.contestPlan(quick ? plans.quick : {}), options);
}

/** Plays a plan and prints what came of it. Resolves with the exit code; never rejects. */
export async function runContest(plan: Plan, options: RunOptions): Promise<number> {
  try {
    return await play(plan, options);
  } catch (error) {
    return printError('espora contest', error);
  }
}

async function play(plan: Plan, options: RunOptions): Promise<number> {
  const [{ playContest }, { requestsOf }, { createProgress }, report, { authorityOf }] =
    await Promise.all([
      import('../contest/contest.js'),
      import('../contest/plan.js'),
      import('../contest/progress.js'),
      import('../contest/report.js'),
      import('../contest/service.js'),
    ]);
  const { host, port, json, wait, seed = randomInt(seedBelow) } = options;
  const progress = createProgress(process.stderr);
  const stop = new AbortController();
  onStopSignals({
    first: () => {
      stop.abort();
    },
    again: () => {
      progress.end();
      process.exit(interrupted);
    },
  });
  if (!json) {
    const service = `http://${authorityOf({ host, port })}`;
    print(`${report.headLine(service, plan.name, requestsOf(plan), seed)}\n`);
  }
  const result = await playContest({
    host,
    port,
    plan,
    seed,
    waitMs: wait * 1000,
    signal: stop.signal,
    onWait: (reason) => {
      process.stderr.write(`waiting up to ${wait} s: ${reason}\n`);
    },
    onProgress: (now) => {
      progress.show(now);
    },
  }).finally(() => {
    progress.end();
  });
  const colourful = process.stdout.isTTY && process.env.NO_COLOR === undefined;
  if (json) printJson(result);
  else print(report.reportText(result, colourful ? report.colours : report.noColours));
  if (result.outcome === 'interrupted') return interrupted;
  return result.outcome === 'passed' ? 0 : 1;
}
