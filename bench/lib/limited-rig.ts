// Processes of other software under the limits that ours get: each in a control group of its own,
// started one after the other, all ended together.

import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { commandInside, LimitedGroups, readUsage } from '#espora/lab/control-groups.js';
import type { GroupDirectories } from '#espora/lab/control-groups.js';
import { untilListening } from '#espora/lab/listening.js';
import type { Listening } from '#espora/lab/listening.js';
import { RunningProgram } from '#espora/lab/program.js';
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
    const program = new RunningProgram(inside.file, inside.arguments, {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    this.#children.push(program.child);
    await untilListening(program, listening, readyMs).catch((error: Error) => {
      throw new TrialFailure(`${name} ${error.message}`);
    });
    return program.pid;
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
