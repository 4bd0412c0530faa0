// Whether the trial in containers can be played here, and a process with a Docker engine.

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram, nativeProgram, run } from '../lib/processes.js';
import { at } from '../lib/project.js';
import type { Context } from '../lib/trial.js';

/** The three sets of ours that are up together are asked about as often as one of them that ships. */
const healthInterval = '80s';

const needed = { docker: 'docker.io', dockerd: 'docker.io', haproxy: 'haproxy', nginx: 'nginx' };

/** Why nothing can be played here; undefined: it can. */
export function missingForContainers(): string | undefined {
  if (process.getuid!() !== 0) return 'a Docker engine of its own needs root';
  const missing = Object.entries(needed).filter(([name]) => findProgram(name) === undefined);
  if (missing.length === 0) return undefined;
  return `missing: ${[...new Set(missing.map(([, name]) => name))].join(', ')}`;
}

/**
 * Runs a player, a module beside this one, in a process of its own with a Docker engine, our images, and
 * one with HAProxy and the minimal handoff. It is told `orders`, and says on stderr what it does.
 */
export async function playInDocker(
  context: Context,
  player: string,
  orders: object,
): Promise<void> {
  // Directly on the disk to measure: the paths of the engine's sockets must be short.
  const parent = dirname(dirname(context.directory));
  const own = nativeProgram('minimal_handoff');
  const script = fileURLToPath(new URL(`./${player}.js`, import.meta.url));
  const args = [at('scripts/bench-containers.mjs'), parent, own];
  const program = [process.execPath, script, JSON.stringify(orders)];
  await run(
    { file: process.execPath, args: [...args, ...program] },
    {
      signal: context.signal,
      env: { ...process.env, HEALTHCHECK_INTERVAL: context.small ? '2s' : healthInterval },
      onSaid: (text) => context.progress(text.trimEnd()),
    },
  );
}

/** The whole of a player: its argument is what it is told, and what goes wrong is its last line. */
export async function runPlayer<Orders>(play: (orders: Orders) => Promise<void>): Promise<void> {
  try {
    await play(JSON.parse(process.argv[2]!) as Orders);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    // What waits for a turn would wait for ever.
    process.exit(1);
  }
}
