// `espora config`: the options that a command would run with, and the source of each value.
import type { Setting } from '../options/resolve.js';
import { defaultText, type Command } from '../options/table.js';
import { print, printJson } from './output.js';
import { plainTable } from './plain-table.js';
import { optionsFor, type Flags } from './sources.js';

function rowOf({ name, flag, variable, text, source, origin }: Setting): readonly string[] {
  const value = source === 'default' ? defaultText(name) : (text ?? 'none');
  return [flag, variable, value, source === 'file' ? `file ${origin}` : source];
}

/** Prints the options of `command`. Returns the exit code. */
export function config(command: Command, flags: Flags): number {
  const { settings } = optionsFor('espora config', command, flags);
  if (flags.json === true) {
    const options = settings.map(({ text, ...rest }) => ({ ...rest, value: text ?? null }));
    printJson({ command, options });
  } else {
    print(plainTable(['OPTION', 'VARIABLE', 'VALUE', 'FROM'], settings.map(rowOf)));
  }
  return 0;
}
