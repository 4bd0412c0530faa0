// The command line: commands, their flags from the option table, and their help. The module of a command is
// loaded only when it is called, so that a service starts quickly.
import { Command as Commander, Option, type CommanderError } from 'commander';
import { invalid, type EsporaError } from '../errors.js';
import {
  commands,
  defaultText,
  flagOf,
  optionOf,
  optionsOf,
  variableOf,
} from '../options/table.js';
import type { Command, ServiceKind } from '../options/table.js';
import { version } from '../version.js';
import { registerAdminCommand } from './admin-command.js';
import { registerContestCommand } from './contest-command.js';
import { exitCode } from './output.js';
import type { Flags } from './sources.js';

const summaries: Readonly<Record<Command, string>> = {
  start: 'start the whole service and keep it running',
  balancer: 'run a balancer: connections go to its upstreams in turn',
  api: 'run an api: connections go to the database',
  database: 'run a database: the HTTP API and the durable store',
  inspect: 'show the contents of a store, without changing it',
  verify: 'check a store, without changing it',
  export: 'write the records of a store to stdout, without changing it',
  repair: 'make a new store of all that can be read of a damaged one',
  backup: 'copy a store into a new directory, even while it is in use',
};

const servicesAndStart: readonly Command[] = ['start', 'balancer', 'api', 'database'];

/** Adds the flags of `command`: those of the table, --config and --json. */
function addOptions(target: Commander, command: Command, json: string): Commander {
  for (const name of optionsOf(command)) {
    const { kind, help } = optionOf(name);
    const origin = `(${variableOf(name)}; default: ${defaultText(name)})`;
    target.addOption(new Option(`${flagOf(name)} ${kind.placeholder}`, `${help} ${origin}`));
  }
  return target
    .option('--config <file>', 'JSON file with options by name, such as {"port": 9999}')
    .option('--json', json)
    .allowExcessArguments(false);
}

const newDirectory = [
  '--to <directory>',
  'directory of the new store, which must be new or empty',
] as const;

/** Flags that only some commands have. */
const ownFlags: Readonly<Partial<Record<Command, readonly (readonly [string, string])[]>>> = {
  inspect: [
    ['--from <seq>', 'first sequence number to show (default: 1)'],
    ['--limit <count>', 'most records to show (default: all)'],
    ['--no-frames', 'leave out segments, batches and seals'],
    ['--no-records', 'leave out records'],
  ],
  export: [
    ['--from <seq>', 'first sequence number (default: 1)'],
    ['--to <seq>', 'last sequence number (default: that of the last record)'],
    ['--limit <count>', 'most records (default: all)'],
    ['--format <format>', 'ndjson or csv (default: ndjson)'],
    ['--bytes <encoding>', 'how bytes are written, base64 or hex (default: base64)'],
    ['--no-formulas', "of CSV: put ' before text that a spreadsheet would take for a formula"],
  ],
  repair: [
    newDirectory,
    [
      '--like <directory>',
      'a store of the same kind (a backup, or a new one), for a store whose file STORE cannot be read',
    ],
  ],
  backup: [newDirectory],
};

type Action = (flags: Flags) => Promise<number>;

/** The implementations of the commands. Each resolves with an exit code, or rejects. */
export interface Actions extends Readonly<Record<Exclude<Command, ServiceKind>, Action>> {
  readonly service: (kind: ServiceKind, flags: Flags) => Promise<number>;
  readonly config: (command: Command, flags: Flags) => Promise<number>;
}

const lazyActions: Actions = {
  start: async (flags) => (await import('./start-command.js')).start(flags),
  service: async (kind, flags) => (await import('./run-service.js')).runService(kind, flags),
  inspect: async (flags) => (await import('./inspect-command.js')).inspect(flags),
  verify: async (flags) => (await import('./verify-command.js')).verify(flags),
  export: async (flags) => (await import('./export-command.js')).exportRecords(flags),
  repair: async (flags) => (await import('./copy-commands.js')).repair(flags),
  backup: async (flags) => (await import('./copy-commands.js')).backup(flags),
  config: async (command, flags) => (await import('./config-command.js')).config(command, flags),
};

/** The program; `end` gets the exit code of the command that ran. */
export function createProgram(
  end: (exitCode: number) => void,
  actions: Actions = lazyActions,
): Commander {
  const program = new Commander('espora')
    .description(
      'A durable credit/debit service for one Linux machine, and the store and balancer under it.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .exitOverride()
    .configureHelp({ helpWidth: 100 })
    // Errors are printed once, by main.ts.
    .configureOutput({ outputError: () => undefined });

  for (const command of commands) {
    const data = !servicesAndStart.includes(command);
    const json = data ? 'print JSON' : 'print events as JSON, one per line';
    const added = program.command(command).description(summaries[command]);
    for (const [flag, help] of ownFlags[command] ?? []) added.option(flag, help);
    addOptions(added, command, json).action(async (flags: Flags) => {
      end(await exitCode(`espora ${command}`, run(actions, command, flags)));
    });
  }

  registerContestCommand(program, end);
  registerAdminCommand(program, end);

  const config = program
    .command('config')
    .description('show the options a command would run with, and where each came from');
  for (const command of commands) {
    const added = config
      .command(command, { isDefault: command === 'start' })
      .description(`options of espora ${command}`);
    addOptions(added, command, 'print JSON').action(async (flags: Flags) => {
      end(await exitCode('espora config', actions.config(command, flags)));
    });
  }
  return program;
}

function run(actions: Actions, command: Command, flags: Flags): Promise<number> {
  const isService = command === 'balancer' || command === 'api' || command === 'database';
  return isService ? actions.service(command, flags) : actions[command](flags);
}

/**
 * An error of commander as an ERR_ESPORA_INVALID of one sentence; undefined for help and version, which
 * are not errors.
 */
export function usageError(error: CommanderError): EsporaError | undefined {
  if (error.exitCode === 0) return undefined;
  if (error.code === 'commander.help') {
    return invalid('a command is missing; the list is above');
  }
  const [first = '', hint = ''] = error.message.split('\n');
  const known = /^\(Did you mean (.+)\?\)$/.exec(hint)?.[1];
  const sentence = first.replace(/^error: /, '').replace(/\.$/, '');
  const end = known === undefined ? 'espora --help lists what there is' : `did you mean ${known}?`;
  return invalid(`${sentence}; ${end}`);
}
