// Programs that run on this machine while something is played against them.

import type { Target } from '#espora/lab/connection.js';
import { RunningProgram } from '#espora/lab/program.js';
import { pinned } from '../lib/pinning.js';
import { at } from '../lib/project.js';
import { TrialFailure } from '../lib/trial.js';
import type { Context } from '../lib/trial.js';

/** Something to play against, until it is stopped. */
export interface Announced {
  readonly target: Target;
  readonly stop: () => Promise<void>;
}

/** Starts a program and waits for the line that says where it listens. */
export async function startAnnounced(
  command: string,
  args: readonly string[],
  targetIn: (line: string) => Target | undefined,
  { signal }: Context,
): Promise<Announced> {
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  const program = new RunningProgram(command, args, { stdio: [...stdio], signal });
  const told = (): Target | undefined =>
    program.lines.map(targetIn).find((found) => found !== undefined);
  const target = await program.heard(told);
  if (target === undefined) throw new TrialFailure(`${command} ${args.join(' ')} did not start`);
  return { target, stop: async () => void (await program.stop()) };
}

/** `espora start` with these flags, all services on one CPU together; resolves when they are ready. */
export async function startEspora(flags: readonly string[], context: Context): Promise<Announced> {
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
