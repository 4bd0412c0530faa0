// Runs a tool and returns its output. Signals to us end the tool and all its children, so that an interrupted
// build leaves no compiler behind.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { root } from './project.mjs';

/** A failure whose message is printed without a stack trace. */
export class Failure extends Error {}

/** The option `name` of `values`: a whole number from `least` on. */
export function whole(values, name, least) {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < least) {
    throw new Failure(`--${name} ${values[name]}: give a whole number, ${least} or more.`);
  }
  return value;
}

/** The exit code after a signal, as in a shell. */
export const exitCodeOf = (signal) => 128 + constants.signals[signal];

/** Calls `handler` for every signal that ends processes, until the returned function is called. */
export function onSignals(handler) {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.removeListener(signal, handler);
  };
}

/** A signal ended the tool, and must end us too after the callers have cleaned up. */
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
 *   to our terminal; `heldDescriptor` stays open in the tool and in its children.
 * @returns {Promise<{code: number, output: string}>} code 127 if there is no such tool; a signal
 *   counts as 128 + its number, as in a shell
 */
export async function run(command, args, { env = process.env, show = false, heldDescriptor } = {}) {
  const stdio = show ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'];
  if (heldDescriptor !== undefined) stdio.push(heldDescriptor);
  // A process group of its own, so that a signal also reaches the compilers that make started.
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
      if (error.code !== 'ESRCH') throw error; // it has just ended
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
 * Loads an addon in another process. The linker accepts missing symbols, because Node.js provides some; only
 * loading shows whether one is missing.
 */
export function tryAddon(path, options) {
  const load = `try { require(${JSON.stringify(path)}) }
    catch (error) { console.error(error.message); process.exitCode = 1 }`;
  return run(process.execPath, ['--eval', load], options);
}

/** Runs `main`; prints a Failure and exits with code 1. Ends the process after a signal. */
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
