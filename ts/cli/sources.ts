// What a command was given: its flags, the environment, the file that --config names.
import { readConfigFile, resolveOptions } from '../options/resolve.js';
import type { Resolution, Sources } from '../options/resolve.js';
import type { Command } from '../options/table.js';
import { printWarning } from './output.js';

/** Flags of every command, besides those of the option table. */
export interface CommonFlags {
  readonly config?: string;
  readonly json?: boolean;
}

/** Flags of a command, by option name. */
export type Flags = CommonFlags & Readonly<Record<string, unknown>>;

/**
 * The environment without LISTEN_FDS where those descriptors are meant for another process:
 * sd_listen_fds(3) says by LISTEN_PID for whom they are.
 */
function ownEnvironment(): NodeJS.ProcessEnv {
  const { LISTEN_FDS: descriptors, ...others } = process.env;
  const ours = process.env['LISTEN_PID'] === String(process.pid) && descriptors !== '0';
  return ours ? process.env : others;
}

/** The sources of this process. Throws ERR_ESPORA_INVALID if the file can't be read. */
export function sourcesOf(flags: Flags): Sources {
  return {
    flags,
    environment: ownEnvironment(),
    file: flags.config === undefined ? undefined : readConfigFile(flags.config),
  };
}

/**
 * The options of a command that ends by itself; what is odd about what was given goes to stderr. A
 * service tells it in its log.
 */
export function optionsFor<C extends Command>(
  program: string,
  command: C,
  flags: Flags,
): Resolution<C> {
  const resolution = resolveOptions(command, sourcesOf(flags));
  for (const warning of resolution.warnings) printWarning(program, warning);
  return resolution;
}
