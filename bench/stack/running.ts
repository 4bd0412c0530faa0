// Programs that run on this machine while something is played against them.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Target } from '#espora/lab/connection.js';
import { pinned } from '../lib/pinning.js';
import { at } from '../lib/project.js';
import { TrialFailure } from '../lib/trial.js';
import type { Context } from '../lib/trial.js';

/** Something to play against, until it is stopped. */
export interface Running {
  readonly target: Target;
  readonly stop: () => Promise<void>;
}

/** Starts a program and waits for the line that says where it listens. */
export async function startAnnounced(
  command: string,
  args: readonly string[],
  targetIn: (line: string) => Target | undefined,
  { signal }: Context,
): Promise<Running> {
  const child: ChildProcess = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    signal,
  });
  // Ending it is how a trial ends: that the signal ended it is no error.
  child.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill();
    await ended;
  };
  const lines = createInterface(child.stdout!);
  const target = await new Promise<Target | undefined>((resolve) => {
    lines.on('line', (line) => {
      const found = targetIn(line);
      if (found !== undefined) resolve(found);
    });
    lines.once('close', () => resolve(undefined));
  });
  if (target === undefined) throw new TrialFailure(`${command} ${args.join(' ')} did not start`);
  return { target, stop };
}

/** `espora start` with these flags, all services on one CPU together; resolves when they are ready. */
export async function startEspora(flags: readonly string[], context: Context): Promise<Running> {
  const args = ['start', '--json', '--port', '0', ...flags];
  const [command, all] = pinned(context.cpu, process.execPath, [at('dist/cli/main.js'), ...args]);
  let port: number | undefined;
  return startAnnounced(
    command,
    all,
    (line) => {
      const event = JSON.parse(line) as { event: string; started?: { port?: number } };
      port = event.started?.port ?? port;
      return event.event === 'ready' ? { host: '127.0.0.1', port: port! } : undefined;
    },
    context,
  );
}

/** An address as programs print it: a path, or an IPv4 address and a port. */
export function targetOf(address: string): Target {
  if (address.startsWith('/')) return { path: address };
  const [host, port] = address.split(':');
  return { host: host!, port: Number(port) };
}
