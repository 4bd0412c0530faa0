// Native programs of bench/load: built when they are due, started on a CPU, ended with the trial.

import { join } from 'node:path';
import { untilListening } from '#espora/lab/listening.js';
import type { Listening } from '#espora/lab/listening.js';
import { outputOf, RunningProgram } from '#espora/lab/program.js';
import type { ProgramOptions } from '#espora/lab/program.js';
import { findProgram } from './limited-rig.js';
import { pinned } from './pinning.js';
import { at } from './project.js';
import { TrialFailure } from './trial.js';
import type { Context } from './trial.js';

const readyMs = 10_000;

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/** What a program prints that ends well; otherwise a TrialFailure with what it said. */
export function execute(
  file: string,
  args: readonly string[],
  options?: ProgramOptions,
): Promise<string> {
  return outputOf(file, args, options).catch((error: Error) => {
    throw new TrialFailure(error.message);
  });
}

/** Builds them; returns where one of a name is, or undefined without cmake. */
export async function buildPrograms(): Promise<((name: string) => string) | undefined> {
  if (findProgram('cmake') === undefined) return undefined;
  const folder = (await execute(process.execPath, [at('scripts/bench-programs.mjs')])).trim();
  return (name) => join(folder, `bench_${name}`);
}

/** Starts a program and waits until it listens. */
export async function startProgram(
  { file, args }: Command,
  listening: Listening,
  { cpu, signal }: Pick<Context, 'cpu' | 'signal'>,
): Promise<RunningProgram> {
  const [command, all] = pinned(cpu, file, args);
  const stdio = ['ignore', 'ignore', 'pipe'] as const;
  const program = new RunningProgram(command, all, { stdio: [...stdio], signal });
  try {
    await untilListening(program, listening, readyMs);
  } catch (error) {
    await program.stop().catch(() => undefined);
    throw new TrialFailure(`${file} ${(error as Error).message}`);
  }
  return program;
}

/** Runs a program to its end and returns the line of JSON that it printed. */
export async function runForJson(
  { file, args }: Command,
  { cpu, signal }: Pick<Context, 'cpu' | 'signal'>,
): Promise<unknown> {
  const [command, all] = pinned(cpu, file, args);
  return JSON.parse(await execute(command, all, { signal }));
}
