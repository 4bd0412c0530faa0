#!/usr/bin/env node
// The program `espora`: parses the command line, runs the command, ends with its exit code.
import { setImmediate } from 'node:timers/promises';
import { CommanderError } from 'commander';
import { EsporaError } from '../errors.js';
import { printError } from './output.js';
import { createProgram, usageError } from './program.js';

// Whoever read our lines may stop reading (EPIPE: `| head`) or go away with the terminal (EIO): that
// is no reason to end, least of all for a service. A full disk is a failure, told at the end.
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
  // What was printed into a pipe may not have left yet, nor what failed been told.
  await new Promise((resolve) => process.stdout.write('', resolve));
  await setImmediate();
  if (lost !== undefined && exitCode === 0) {
    const message = `the output could not be written: ${lost.message}`;
    exitCode = printError('espora', new EsporaError('ERR_ESPORA_IO', message));
  }
  return exitCode;
}

process.exit(await main());
