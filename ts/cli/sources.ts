// What a command was given: its flags, the environment, the file that --config names.
import { readConfigFile } from '../options/resolve.js';
import type { Sources } from '../options/resolve.js';

/** Flags of every command, besides those of the option table. */
export interface CommonFlags {
  readonly config?: string;
  readonly json?: boolean;
}

/** Flags of a command, by option name. */
export type Flags = CommonFlags & Readonly<Record<string, unknown>>;

/** The sources of this process. Throws ERR_ESPORA_INVALID if the file can't be read. */
export function sourcesOf(flags: Flags): Sources {
  return {
    flags,
    environment: process.env,
    file: flags.config === undefined ? undefined : readConfigFile(flags.config),
  };
}
