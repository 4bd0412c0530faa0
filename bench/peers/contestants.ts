// The store from JavaScript beside lmdb and better-sqlite3, all at full durability: who takes part,
// and one round of one of them.

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runForJson } from '../lib/processes.js';
import { at } from '../lib/project.js';
import { TrialFailure } from '../lib/trial.js';
import type { Context } from '../lib/trial.js';

export interface Task {
  /** append: `flight` at a time; turn: all in one turn; batch: units of `flight`; read: forward. */
  readonly kind: 'append' | 'turn' | 'batch' | 'read';
  readonly flight: number;
  readonly count: number;
  readonly directory: string;
}

export interface Measured {
  readonly seconds: number;
  readonly records: number;
  readonly diskBytes: number;
}

const script = fileURLToPath(new URL('./contestant-process.js', import.meta.url));

/** Those of `names` that can take part, and a sentence for those that cannot. */
export function present(names: readonly string[]): { names: string[]; notes: string[] } {
  const missing = (name: string): boolean => {
    const [packageName = ''] = name.split(',');
    return name !== 'espora' && !existsSync(at(`bench/peers/npm/node_modules/${packageName}`));
  };
  const notes = names.some(missing)
    ? [
        `${names.filter(missing).join(' and ')} did not take part: ` +
          '`npm install --prefix bench/peers/npm` installs the peers.',
      ]
    : [];
  return { names: names.filter((name) => !missing(name)), notes };
}

let rounds = 0;

export async function playRound(
  name: string,
  task: Omit<Task, 'directory'>,
  context: Context,
): Promise<Measured> {
  const directory = join(context.directory, `round-${rounds++}`);
  try {
    const args = [script, name, JSON.stringify({ ...task, directory })];
    const { signal } = context;
    return await runForJson<Measured>({ file: process.execPath, args }, { signal });
  } catch (error) {
    if (context.signal.aborted) throw error;
    const text = error instanceof Error ? error.message : String(error);
    throw new TrialFailure(`${name}, ${task.kind} of ${task.flight}: ${text}`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
