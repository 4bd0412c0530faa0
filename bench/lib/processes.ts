// Programs that a trial needs: found, run to their end, or started until they listen and ended with the
// trial. Each is pinned to a CPU, or in a control group of its own with limits, or neither.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { commandInside, LimitedGroups, readUsage } from '#espora/lab/control-groups.js';
import type { GroupDirectories } from '#espora/lab/control-groups.js';
import { freePort } from '#espora/lab/free-port.js';
import { untilListening, untilReady } from '#espora/lab/listening.js';
import type { Listening } from '#espora/lab/listening.js';
import { RunningProgram } from '#espora/lab/program.js';
import type { ResourceLimits } from '#espora/topology/topology.js';
import { pinned } from './pinning.js';
import { at } from './project.js';
import { TrialFailure } from './trial.js';

const readyMs = 60_000;
const stopMs = 10_000;

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/** How a program runs. */
export interface RunOptions {
  /** The only CPU that it may use. */
  readonly cpu?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Told what it says on stderr. */
  readonly onSaid?: (text: string) => void;
}

/** Where a program is installed; undefined: it is not. */
export function findProgram(name: string, ...more: readonly string[]): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', ...more];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** A program of bench/load, which `npm run bench` builds before anything runs. */
export const nativeProgram = (name: string): string => at(`build-cmake-bench/bench/bench_${name}`);

/** Runs a program to its end and returns what it printed; a TrialFailure with its last words if it fails. */
export async function run({ file, args }: Command, how: RunOptions = {}): Promise<string> {
  const { cpu, signal, onSaid, ...options } = how;
  const [command, all] = pinned(cpu, file, args);
  const program = new RunningProgram(command, all, { ...options, ...(signal ? { signal } : {}) });
  if (onSaid !== undefined) program.child.stderr!.on('data', (text) => onSaid(String(text)));
  const ended = await program.ended;
  if (ended.exitCode === 0 || ended.signal === 'SIGKILL') return ended.stdout;
  const end = ended.signal ?? `code ${ended.exitCode}`;
  throw new TrialFailure(`${file}: ${lastLine(ended.stderr) || `it ended with ${end}`}`);
}

/** The same for a program that prints one JSON text. It may end itself with SIGKILL when it has. */
export async function runForJson<Printed>(command: Command, how?: RunOptions): Promise<Printed> {
  const text = await run(command, how);
  if (text === '') throw new TrialFailure(`${command.file} ${command.args.join(' ')}: no answer`);
  return JSON.parse(text) as Printed;
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

export interface Running {
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

/** Starts a program and waits until it is ready: until it listens, or until `ready` says so. */
export async function start(
  { file, args }: Command,
  ready: Listening | (() => Promise<boolean>),
  { cpu, signal, env }: RunOptions = {},
): Promise<Running> {
  const [command, all] = pinned(cpu, file, args);
  // A group of processes each: what the program started ends with it.
  const program = new RunningProgram(command, all, {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    ...(env === undefined ? {} : { env }),
  });
  const onAbort = (): void => void end(program);
  const stop = (): Promise<void> => {
    signal?.removeEventListener('abort', onAbort);
    return end(program);
  };
  signal?.addEventListener('abort', onAbort);
  try {
    if (typeof ready === 'function') await untilReady(program, ready, readyMs);
    else await untilListening(program, ready, readyMs);
  } catch (error) {
    await stop();
    throw new TrialFailure(`${file} ${(error as Error).message}`);
  }
  return { pid: program.pid, stop };
}

/** Ends a program with the group that it leads. */
async function end(program: RunningProgram): Promise<void> {
  const send = (name: NodeJS.Signals): void => {
    try {
      if (!program.hasEnded) process.kill(-program.pid, name);
    } catch {
      // It is gone already.
    }
  };
  send('SIGTERM');
  const timer = setTimeout(send, stopMs, 'SIGKILL');
  await program.ended.catch(() => undefined);
  clearTimeout(timer);
}

/** `espora start` with these flags on a free port, all services on one CPU; answers when it resolves. */
export async function startEspora(
  flags: readonly string[],
  how: RunOptions,
): Promise<Running & { readonly port: number }> {
  const port = await freePort();
  const args = [at('dist/cli/main.js'), 'start', '--json', '--port', String(port), ...flags];
  const answers = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}/clientes/1/extrato`).then(
      ({ ok }) => ok,
      () => false,
    );
  return { port, ...(await start({ file: process.execPath, args }, answers, how)) };
}

let rigs = 0;

/** Processes in control groups of their own, started one after the other and ended together. */
export class LimitedRig {
  readonly #groups = LimitedGroups.here(`espora-bench-${process.pid}-${++rigs}`);
  readonly #running: Running[] = [];
  readonly #made: GroupDirectories[] = [];

  /** Starts a program in a group of its own, waits until it listens, and returns its process. */
  async start(
    name: string,
    limits: ResourceLimits,
    command: Command,
    listening: Listening,
    env?: NodeJS.ProcessEnv,
  ): Promise<number> {
    const group = this.#groups.make(name, limits);
    this.#made.push(group);
    const { file, arguments: args } = commandInside(group, command.file, command.args);
    const running = await start({ file, args }, listening, env === undefined ? {} : { env });
    this.#running.push(running);
    return running.pid;
  }

  /** Of all its processes, those included that they started. */
  cpuSeconds(): number {
    return this.#made.reduce((sum, group) => sum + readUsage(group).cpuSeconds, 0);
  }

  /** Ends all, last started first. */
  async stop(): Promise<void> {
    for (const { stop } of this.#running.reverse()) await stop();
    await this.#groups.remove();
  }
}
