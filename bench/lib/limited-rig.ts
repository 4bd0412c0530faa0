// Processes of other software under the limits that ours get: each in a control group of its own,
// started one after the other, all ended together.

import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandInside, LimitedGroups, readUsage } from '#espora/lab/control-groups.js';
import type { GroupDirectories } from '#espora/lab/control-groups.js';
import type { ResourceLimits } from '#espora/topology/topology.js';
import { TrialFailure } from './trial.js';

const readyMs = 60_000;
const stopMs = 10_000;
let rigs = 0;

/** Where a program is installed; undefined: it is not. */
export function findProgram(name: string, ...more: readonly string[]): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', ...more];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Runs a command to its end; a TrialFailure with what it said if it fails. */
export function execute(
  file: string,
  args: readonly string[],
  options: { readonly cwd?: string } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, [...args], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new TrialFailure(`${file}: ${stderr.trim() || error.message}`));
    });
  });
}

/** Where something listens: a port of 127.0.0.1 or a unix socket. */
export type Listening = { readonly port: number } | { readonly path: string };

export class LimitedRig {
  readonly #groups = LimitedGroups.here(`espora-bench-${process.pid}-${++rigs}`);
  readonly #children: ChildProcess[] = [];
  readonly #made: GroupDirectories[] = [];

  /** Starts a program in a group of its own, waits until it listens, and returns its process. */
  async start(
    name: string,
    limits: ResourceLimits,
    command: { readonly file: string; readonly args: readonly string[] },
    listening: Listening,
    env: NodeJS.ProcessEnv = process.env,
  ): Promise<number> {
    const group = this.#groups.make(name, limits);
    this.#made.push(group);
    const inside = commandInside(group, command.file, command.args);
    const child = spawn(inside.file, inside.arguments, {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.on('error', (error) => (said += error.message));
    this.#children.push(child);
    const giveUpAt = performance.now() + readyMs;
    while (!(await accepts(listening))) {
      if (child.exitCode !== null || performance.now() > giveUpAt) {
        throw new TrialFailure(`${name} did not start: ${said.trim().split('\n').at(-1) ?? ''}`);
      }
      await sleep(50);
    }
    return child.pid!;
  }

  /** Of all its processes, those included that they started. */
  cpuSeconds(): number {
    return this.#made.reduce((sum, group) => sum + readUsage(group).cpuSeconds, 0);
  }

  /** Ends all, last started first. */
  async stop(): Promise<void> {
    for (const child of this.#children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      // A group of processes each: also what the program started ends.
      signal(child, 'SIGTERM');
      const timer = setTimeout(() => signal(child, 'SIGKILL'), stopMs);
      await ended;
      clearTimeout(timer);
    }
    await this.#groups.remove();
  }
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, name);
  } catch {
    // It is gone already.
  }
}

/** Whether somebody takes connections there. */
export function accepts(listening: Listening): Promise<boolean> {
  return new Promise((resolve) => {
    const where = 'port' in listening ? { host: '127.0.0.1', ...listening } : listening;
    const socket = connect(where);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
