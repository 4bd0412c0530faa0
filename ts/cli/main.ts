#!/usr/bin/env node
// The program `espora`: parses the command line, runs the command, ends with its exit code.
import { CommanderError } from 'commander';
import { printError } from './output.js';
import { createProgram, usageError } from './program.js';

// Whoever read our lines may stop reading (`| head`); that is no reason to end, least of all for a
// service.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

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
  return exitCode;
}

process.exit(await main());
