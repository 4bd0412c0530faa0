// `npm run bench`: runs the registered trials and prints their tables. Flags go after `--`.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, CommanderError } from 'commander';
import { describeMachine, readMachine } from './lib/machine.js';
import type { Machine } from './lib/machine.js';
import { choosePinnedCpu } from './lib/pinning.js';
import { at } from './lib/project.js';
import { renderTerminal } from './lib/render.js';
import { blockOf, resultsFile, resultsOf } from './lib/results.js';
import type { Report } from './lib/report.js';
import { quotedIn, quotingDocuments } from './lib/quotations.js';
import type { Group, Trial } from './lib/trial.js';
import { groups, TrialFailure } from './lib/trial.js';
import { registry } from './registry.js';

interface Options {
  readonly only: readonly string[];
  readonly small: boolean;
  readonly json: boolean;
  readonly write: boolean;
  readonly list: boolean;
  readonly data: string;
}

/** Wrong usage: exit code 2, one sentence. */
class UsageError extends Error {}

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

function readOptions(args: readonly string[]): Options | undefined {
  const split = (value: string, before: readonly string[]): string[] => [
    ...before,
    ...value.split(','),
  ];
  const command = new Command('npm run bench --')
    .description('Measures espora, and prints tables with ratios and budgets.')
    .option('--only <names>', 'only these trials or groups, separated by commas', split, [])
    .option('--small', 'short rounds: shows that everything runs, proves no figure', false)
    .option('--json', 'data on stdout instead of tables', false)
    .option(
      '--write',
      'also write bench/results/ and the tables that quote it, whole groups only',
      false,
    )
    .option('--list', 'name the trials and stop', false)
    .option('--data <directory>', 'a directory on the disk to measure', at('.build'))
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, '')) });
  try {
    return command.parse([...args], { from: 'user' }).opts<Options>();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? 0 : 2;
    return undefined;
  }
}

function chooseTrials(only: readonly string[]): readonly Trial[] {
  for (const name of only) {
    if (!registry.some((trial) => trial.name === name || trial.group === name)) {
      const known = [...new Set(registry.flatMap((trial) => [trial.group, trial.name]))];
      throw new UsageError(`There is no trial or group "${name}"; there are: ${known.join(', ')}.`);
    }
  }
  if (only.length === 0) return registry;
  return registry.filter(({ name, group }) => only.includes(name) || only.includes(group));
}

/** Groups of which every trial is chosen. */
function wholeGroups(trials: readonly Trial[]): Group[] {
  return groups.filter((group) => {
    const all = registry.filter((trial) => trial.group === group);
    return all.length > 0 && all.every((trial) => trials.includes(trial));
  });
}

function checkWrite({ small, write }: Options, trials: readonly Trial[]): void {
  if (!write) return;
  if (small) throw new UsageError('--write with --small would publish figures that prove nothing.');
  const groupsChosen = new Set(trials.map(({ group }) => group));
  if (wholeGroups(trials).length !== groupsChosen.size) {
    throw new UsageError('--write needs whole groups: leave --only out, or name groups with it.');
  }
}

/** A directory of our own, removed whatever happens, a signal included. */
async function withDirectory<Result>(
  parent: string,
  work: (directory: string) => Promise<Result>,
): Promise<Result> {
  mkdirSync(parent, { recursive: true });
  const directory = mkdtempSync(`${resolve(parent)}/bench-`);
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const volatileFileSystems = ['tmpfs', 'ramfs', 'overlay'];

function warnOfDisk({ disk }: Machine): void {
  if (!volatileFileSystems.includes(disk.fileSystem)) return;
  say(
    `The data would lie on ${disk.fileSystem}: what a flush costs there says nothing; ` +
      'give another directory with --data.',
  );
}

async function runAll(
  trials: readonly Trial[],
  options: Options,
  directory: string,
  signal: AbortSignal,
): Promise<Report[]> {
  const cpu = choosePinnedCpu();
  if (cpu === undefined) say('taskset(1) is missing: nothing is pinned to a CPU.');
  const progress = (text: string): void => {
    if (!options.json || process.stderr.isTTY) say(`· ${text}`);
  };
  const reports: Report[] = [];
  for (const trial of trials) {
    const own = `${directory}/${trial.name}`;
    mkdirSync(own);
    reports.push(await trial.run({ small: options.small, directory: own, cpu, signal, progress }));
    rmSync(own, { recursive: true, force: true });
    if (!options.json) print(`\n${renderTerminal(reports.at(-1)!)}`);
  }
  return reports;
}

function writeResults(
  trials: readonly Trial[],
  reports: readonly Report[],
  machine: Machine,
): void {
  for (const group of wholeGroups(trials)) {
    const names = trials.filter((trial) => trial.group === group).map(({ name }) => name);
    const ofGroup = reports.filter(({ trial }) => names.includes(trial));
    writeFileSync(
      at(resultsFile(group)),
      resultsOf(group, blockOf(describeMachine(machine), ofGroup)),
    );
  }
  const read = (file: string): string => readFileSync(at(file), 'utf8');
  for (const file of quotingDocuments) writeFileSync(at(file), quotedIn(file, read));
  say(`bench/results/ is written, and what quotes it: ${quotingDocuments.join(', ')}.`);
}

async function bench(options: Options, signal: AbortSignal): Promise<void> {
  const trials = chooseTrials(options.only);
  checkWrite(options, trials);
  if (options.list) {
    for (const { group, name, title } of trials) print(`${group}\t${name}\t${title}`);
    return;
  }
  await withDirectory(options.data, async (directory) => {
    const machine = readMachine(directory);
    warnOfDisk(machine);
    if (!options.json) print(describeMachine(machine).join('\n'));
    const reports = await runAll(trials, options, directory, signal);
    if (options.json) print(JSON.stringify({ machine, small: options.small, reports }, null, 2));
    if (options.write) writeResults(trials, reports, machine);
  });
}

const interrupted = new AbortController();
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => {
    process.exitCode = code;
    interrupted.abort();
  });
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) return;
  try {
    await bench(options, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) return; // whatever it is, the interruption is why
    if (!(error instanceof UsageError || error instanceof TrialFailure)) throw error;
    say(error.message);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

await main();
