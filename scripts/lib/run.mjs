// Runs one tool and gives back what it printed. Signals to us end it and all that it started, so that
// an interrupted build leaves no compiler behind.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { root } from './project.mjs';

/** A failure whose message is meant for the person at the terminal: no stack trace belongs to it. */
export class Failure extends Error {}

/** The option `name` of `values`: a whole number from `least` on. */
export function whole(values, name, least) {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < least) {
    throw new Failure(`--${name} ${values[name]}: give a whole number, ${least} or more.`);
  }
  return value;
}

/** What a signal to us counts as, as in a shell. */
export const exitCodeOf = (signal) => 128 + constants.signals[signal];

/** Calls `handler` for every signal that is to end us, until the returned function is called. */
export function onSignals(handler) {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.removeListener(signal, handler);
  };
}

/** A signal ended the tool that ran, and is to end us when whoever waits for it has cleaned up. */
class Interrupted extends Error {
  constructor(signal) {
    super(`ended by ${signal}`);
    this.code = exitCodeOf(signal);
  }
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {{env?: object, show?: boolean, heldDescriptor?: number}} options `show` lets the tool write
 *   to our terminal itself; `heldDescriptor` stays open in the tool and in whatever it starts.
 * @returns {Promise<{code: number, output: string}>} code 127 where there is no such tool; a signal
 *   counts as 128 + its number, as in a shell
 */
export async function run(command, args, { env = process.env, show = false, heldDescriptor } = {}) {
  const stdio = show ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'];
  if (heldDescriptor !== undefined) stdio.push(heldDescriptor);
  // A group of its own: a signal then reaches compilers below make as well.
  const child = spawn(command, args, { cwd: root, env, stdio, detached: true });
  const output = [];
  child.stdout?.on('data', (chunk) => output.push(chunk));
  child.stderr?.on('data', (chunk) => output.push(chunk));

  let stoppedBy;
  const forget = onSignals((signal) => {
    stoppedBy = signal;
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error; // ended in this moment
    }
  });
  try {
    const code = await new Promise((resolve, reject) => {
      child.on('error', (error) => (error.code === 'ENOENT' ? resolve(127) : reject(error)));
      child.on('close', (status, signal) => resolve(status ?? exitCodeOf(signal)));
    });
    if (stoppedBy !== undefined) throw new Interrupted(stoppedBy);
    return { code, output: Buffer.concat(output).toString() };
  } finally {
    forget();
  }
}

/**
 * Loads an addon in a process of its own. A linker accepts one that lacks a symbol, because Node.js
 * brings some; only loading it tells.
 */
export function tryAddon(path, options) {
  const load = `try { require(${JSON.stringify(path)}) }
    catch (error) { console.error(error.message); process.exitCode = 1 }`;
  return run(process.execPath, ['--eval', load], options);
}

/** Runs `main`; a Failure becomes its sentence and exit code 1. Ends the process where a signal is to. */
export async function runScript(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (error instanceof Interrupted) process.exit(error.code);
    if (!(error instanceof Failure)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
