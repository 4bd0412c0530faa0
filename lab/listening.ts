// Whether something takes connections, and waiting until it does.
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunningProgram } from './program.js';

/** Where something listens: a port of 127.0.0.1 or a unix socket. */
export type Listening = { readonly port: number } | { readonly path: string };

const lookEveryMs = 5;

/** Whether connections are taken there. */
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

/**
 * Waits until a program is ready: until `ready` says so. Rejects, with the last that the program said, if it
 * ends before or has not come so far after `patienceMs`; then it may still run.
 */
export async function untilReady(
  program: RunningProgram,
  ready: () => Promise<boolean>,
  patienceMs: number,
): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  while (!(await ready())) {
    if (program.hasEnded || performance.now() > giveUpAt) {
      throw new Error(`did not start: ${program.stderr.trim().split('\n').at(-1) ?? ''}`);
    }
    await sleep(lookEveryMs);
  }
}

/** The same for a program that is ready when connections are taken where it is to listen. */
export const untilListening = (
  program: RunningProgram,
  listening: Listening,
  patienceMs: number,
): Promise<void> => untilReady(program, () => accepts(listening), patienceMs);
