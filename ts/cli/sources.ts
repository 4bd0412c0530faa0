// The sources of a command's options: its flags, the environment, the file of --config.
import { readConfigFile, resolveOptions } from '../options/resolve.js';
import type { Resolution, Sources } from '../options/resolve.js';
import type { Command } from '../options/table.js';
import { printWarning } from './output.js';

/** The flags of a command: those of the option table by name, and two that every command has. */
export interface Flags extends Readonly<Record<string, unknown>> {
  readonly config?: string;
  readonly json?: boolean;
}

/**
 * The environment, without LISTEN_FDS if those descriptors are meant for another process, which LISTEN_PID
 * tells (sd_listen_fds(3)).
 */
function ownEnvironment(): NodeJS.ProcessEnv {
  const { LISTEN_FDS: descriptors, ...others } = process.env;
  const ours = process.env['LISTEN_PID'] === String(process.pid) && descriptors !== '0';
  return ours ? process.env : others;
}

/** The sources of this process. Throws ERR_ESPORA_INVALID if the file cannot be read. */
export function sourcesOf(flags: Flags): Sources {
  return {
    flags,
    environment: ownEnvironment(),
    file: flags.config === undefined ? undefined : readConfigFile(flags.config),
  };
}

/**
 * The options of a command other than a service; warnings about the given values go to stderr. A service
 * writes them to its log.
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
