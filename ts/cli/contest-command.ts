// The flags of `espora contest`; the command itself is in contest/.
import { InvalidArgumentError, type Command } from 'commander';

export interface RunOptions {
  readonly host: string;
  readonly port: number;
  readonly seed?: number;
  /** Seconds. */
  readonly wait: number;
  /** True: print the result as JSON; a file name: also write it there. */
  readonly json: boolean | string;
  /** File for the report as HTML. */
  readonly report?: string;
  /** Compose file whose containers to start and stop. */
  readonly compose?: string;
  /** Whether to start and stop a topology in control groups. */
  readonly limits?: boolean;
  readonly topology?: string;
  /** Directory for the store of that topology. */
  readonly data?: string;
  readonly saturate?: boolean;
  /** Shorter ramp and plateau, and a coarser search for the highest rate. */
  readonly quick?: boolean;
}

/** What `contest/command.ts` exports: each resolves with an exit code, and never rejects. */
export interface ContestModule {
  readonly contest: (options: RunOptions) => Promise<number>;
  readonly compare: (before: string, after: string) => Promise<number>;
}

// Not a literal type, so that the compiler does not follow the import: contest/ is compiled after ts/ and
// depends on it. Only this command loads contest/ and the packages that it needs.
const player: string = '#espora/contest/command.js';
const load = async (): Promise<ContestModule> => (await import(player)) as ContestModule;

/** Seeds are below this number. */
export const seedBelow = 2 ** 32;

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** Adds `contest` to the program; `end` gets the exit code of a run. */
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
    .option('--port <number>', 'its port', wholeNumber(1, 65_535), 9999)
    .option(
      '--seed <number>',
      'repeat the random choices of an earlier run',
      wholeNumber(0, seedBelow - 1),
    )
    .option(
      '--wait <seconds>',
      'how long the service may take to answer at first',
      wholeNumber(0, 3600),
      40,
    )
    .option('--compose <file>', "start a compose file's containers, play, stop them")
    .option('--limits', 'start a topology in control groups with its limits, play, stop it', false)
    .option('--topology <name>', 'topology that --limits starts', 'relay')
    .option(
      '--data <directory>',
      'directory in which --limits makes its store, removed at the end',
      '.',
    )
    .option('--saturate', 'also raise the rate of arrivals until answers are late or fail', false)
    .option('--report <file>', 'write a report as one HTML file')
    .option('--json [file]', 'print the result as JSON, or write it to a file', false)
    .allowExcessArguments(false)
    .action(async (options: RunOptions) => {
      end(await (await load()).contest(options));
    });
  command
    .command('compare <before> <after>')
    .description('print how two results that --json wrote differ, as ratios')
    .allowExcessArguments(false)
    .action(async (before: string, after: string) => {
      end(await (await load()).compare(before, after));
    });
}
