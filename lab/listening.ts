// Whether connections are accepted at an address, and waiting until they are.
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunningProgram } from './program.js';

/** An address: a port of 127.0.0.1 or a unix socket. */
export type Listening = { readonly port: number } | { readonly path: string };

const lookEveryMs = 5;

/** Whether connections are accepted there. */
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
 * Waits until `ready` reports that a program is ready. Rejects with the end of its output if it ends before
 * that or is not ready after `patienceMs`; then it may still run.
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

/** The same for a program that is ready when it accepts connections at its address. */
export const untilListening = (
  program: RunningProgram,
  listening: Listening,
  patienceMs: number,
): Promise<void> => untilReady(program, () => accepts(listening), patienceMs);
