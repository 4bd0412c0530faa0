// Whether the trial in containers can be played here, and a process with a Docker engine.

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RunningProgram } from '#espora/lab/program.js';
import { findProgram } from '../lib/limited-rig.js';
import { buildPrograms } from '../lib/programs.js';
import { at } from '../lib/project.js';
import { TrialFailure } from '../lib/trial.js';
import type { Context } from '../lib/trial.js';

/** The three sets of ours that are up together are asked about as often as one of them that ships. */
const healthInterval = '80s';

const needed = { docker: 'docker.io', dockerd: 'docker.io', haproxy: 'haproxy', nginx: 'nginx' };

/** The programs of bench/load by their names, or why nothing can be played here. */
export async function prepareContainers(): Promise<
  { readonly programs: (name: string) => string } | { readonly missing: string }
> {
  if (process.getuid!() !== 0) return { missing: 'a Docker engine of its own needs root' };
  const missing = Object.entries(needed).filter(([name]) => findProgram(name) === undefined);
  if (missing.length > 0) {
    return { missing: `missing: ${[...new Set(missing.map(([, name]) => name))].join(', ')}` };
  }
  const programs = await buildPrograms();
  return programs === undefined ? { missing: 'it needs cmake' } : { programs };
}

/**
 * Runs a player, a module beside this one, in a process of its own with a Docker engine, our images, and
 * one with HAProxy and the barest programs. It is told `orders`, and says on stderr what it does.
 */
export async function playInDocker(
  context: Context,
  player: string,
  orders: object,
  programs: (name: string) => string,
): Promise<void> {
  // Directly on the disk to measure: the paths of the engine's sockets have to be short.
  const parent = dirname(dirname(context.directory));
  const own = ['constant_server', 'barest_handoff'].map(programs).join(',');
  const script = fileURLToPath(new URL(`./${player}.js`, import.meta.url));
  const args = [at('scripts/bench-containers.mjs'), parent, own];
  const program = [process.execPath, script, JSON.stringify(orders)];
  const played = new RunningProgram(process.execPath, [...args, ...program], {
    stdio: ['ignore', 'ignore', 'pipe'],
    signal: context.signal,
    env: { ...process.env, HEALTHCHECK_INTERVAL: context.small ? '2s' : healthInterval },
  });
  played.child.stderr!.on('data', (text: string) => {
    context.progress(text.trimEnd());
  });
  const { exitCode, stderr } = await played.ended;
  if (exitCode !== 0)
    throw new TrialFailure(`${player}: ${stderr.trim().split('\n').at(-1) ?? ''}`);
}

/** The whole of a player: its argument is what it is told, and what goes wrong is its last line. */
export async function runPlayer<Orders>(play: (orders: Orders) => Promise<void>): Promise<void> {
  try {
    await play(JSON.parse(process.argv[2]!) as Orders);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    // Whoever waits for a turn would wait for ever.
    process.exit(1);
  }
}
