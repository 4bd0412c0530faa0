// Native programs of bench/load: built when they are due, started on a CPU, ended with the trial.

import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts, execute, findProgram } from './limited-rig.js';
import type { Listening } from './limited-rig.js';
import { pinned } from './pinning.js';
import { at } from './project.js';
import { TrialFailure } from './trial.js';

const readyMs = 10_000;
const lookEveryMs = 5;

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/** Builds them; returns where one of a name is, or undefined without cmake. */
export async function buildPrograms(): Promise<((name: string) => string) | undefined> {
  if (findProgram('cmake') === undefined) return undefined;
  const folder = (await execute(process.execPath, [at('scripts/bench-programs.mjs')])).trim();
  return (name) => join(folder, `bench_${name}`);
}

export interface Running {
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

/** Starts a program and waits until it listens. */
export async function startProgram(
  { file, args }: Command,
  listening: Listening,
  { cpu, signal }: { readonly cpu: number | undefined; readonly signal: AbortSignal },
): Promise<Running> {
  const [command, all] = pinned(cpu, file, args);
  const child = spawn(command, all, { stdio: ['ignore', 'ignore', 'pipe'], signal });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.on('error', (error) => (said += error.message));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill();
    await ended;
  };
  const giveUpAt = performance.now() + readyMs;
  while (!(await accepts(listening))) {
    if (child.exitCode !== null || signal.aborted || performance.now() > giveUpAt) {
      await stop();
      throw new TrialFailure(`${file} did not start: ${said.trim().split('\n').at(-1) ?? ''}`);
    }
    await sleep(lookEveryMs);
  }
  return { pid: child.pid!, stop };
}

/** Runs a program to its end and returns the line of JSON that it printed. */
export function runForJson(
  { file, args }: Command,
  { cpu, signal }: { readonly cpu: number | undefined; readonly signal: AbortSignal },
): Promise<unknown> {
  const [command, all] = pinned(cpu, file, args);
  return new Promise((resolve, reject) => {
    execFile(command, all, { signal }, (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout));
      else reject(new TrialFailure(`${file}: ${stderr.trim() || error.message}`));
    });
  });
}
