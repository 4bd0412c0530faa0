// The flags of a script. `--help` prints the script's leading comment; an error is one sentence.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const usageExitCode = 2;

/** The script's leading comment, as text. */
function helpOf(url) {
  const lines = readFileSync(fileURLToPath(url), 'utf8').split('\n');
  const end = lines.findIndex((line) => !line.startsWith('//'));
  return lines.slice(0, end).map((line) => line.replace(/^\/\/ ?/, ''));
}

/**
 * Ends the process after `--help`, and with exit code 2 after an error.
 * @param {string} url the script's `import.meta.url`
 * @param {import('node:util').ParseArgsConfig['options']} options
 */
export function readFlags(url, options) {
  try {
    const { values } = parseArgs({ options: { ...options, help: { type: 'boolean' } } });
    if (!values.help) return values;
    process.stdout.write(`${helpOf(url).join('\n')}\n`);
    process.exit(0);
  } catch (error) {
    if (!error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
    process.stderr.write(`${error.message.split('\n')[0]} (--help says what there is)\n`);
    process.exit(usageExitCode);
  }
}
