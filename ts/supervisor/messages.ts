// The messages between a service and its supervisor over Node.js's IPC channel, a socket pair whose end
// tells each side that the other has ended.
import type { ProcessStats } from '../metrics/measured.js';
import type { Started } from '../services/service.js';

/** From a service to its supervisor. */
export type FromService =
  | { readonly type: 'ready'; readonly started: Started }
  | { readonly type: 'failed'; readonly message: string; readonly exitCode: number }
  | { readonly type: 'stats'; readonly stats: ProcessStats };

/** From a supervisor to its service. */
export type FromSupervisor =
  /** The private directory, which the last service removes if the supervisor was killed. */
  | { readonly type: 'run-directory'; readonly path: string }
  | { readonly type: 'stats' }
  /** Stop without giving connections time to end. */
  | { readonly type: 'stop-at-once' };

function withType<Message>(message: unknown, types: readonly string[]): Message | undefined {
  if (typeof message !== 'object' || message === null || !('type' in message)) return undefined;
  return types.includes(message.type as string) ? (message as Message) : undefined;
}

/** The message, if it is a service's. */
export const fromService = (message: unknown): FromService | undefined =>
  withType(message, ['ready', 'failed', 'stats']);

/** The message, if it is a supervisor's. */
export const fromSupervisor = (message: unknown): FromSupervisor | undefined =>
  withType(message, ['run-directory', 'stats', 'stop-at-once']);
