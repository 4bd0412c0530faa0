#!/usr/bin/env node
// The program `espora`: parses the command line, runs the command, ends with its exit code.
import { setImmediate } from 'node:timers/promises';
import { CommanderError } from 'commander';
import { EsporaError } from '../errors.js';
import { printError } from './output.js';
import { createProgram, usageError } from './program.js';

// The reader of our output may end (EPIPE: `| head`), or the terminal hang up (EIO); the program continues.
// Any other failure, such as a full disk, is reported at the end.
let lost: NodeJS.ErrnoException | undefined;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') lost = error;
});
process.stderr.on('error', () => undefined);

async function main(): Promise<number> {
  let exitCode = 0;
  try {
    const program = createProgram((code) => {
      exitCode = code;
    });
    await program.parseAsync();
  } catch (error) {
    const reason = error instanceof CommanderError ? usageError(error) : error;
    if (reason !== undefined) exitCode = printError('espora', reason);
  }
  // Output into a pipe may not have been written yet, nor its failure been reported.
  await new Promise((resolve) => process.stdout.write('', resolve));
  await setImmediate();
  if (lost !== undefined && exitCode === 0) {
    const message = `the output could not be written: ${lost.message}`;
    exitCode = printError('espora', new EsporaError('ERR_ESPORA_IO', message));
  }
  return exitCode;
}

process.exit(await main());
