// What a service and its supervisor say to each other over the channel between them (Node's IPC, a
// socket pair: its end tells each that the other is gone).
import type { ProcessStats } from '../metrics/measured.js';
import type { Started } from '../services/service.js';

/** From a service to its supervisor. */
export type FromService =
  | { readonly type: 'ready'; readonly started: Started }
  | { readonly type: 'failed'; readonly message: string; readonly exitCode: number }
  | { readonly type: 'stats'; readonly stats: ProcessStats };

/** From a supervisor to its service. */
export type FromSupervisor =
  /** The private directory that whoever is last removes when the supervisor was killed. */
  | { readonly type: 'run-directory'; readonly path: string }
  | { readonly type: 'stats' }
  /** Connections get no time to end. */
  | { readonly type: 'stop-at-once' };

function typeOf(message: unknown): unknown {
  return typeof message === 'object' && message !== null && 'type' in message
    ? message.type
    : undefined;
}

/** The message, if it is one of ours. */
export function fromService(message: unknown): FromService | undefined {
  const type = typeOf(message);
  const ours = type === 'ready' || type === 'failed' || type === 'stats';
  return ours ? (message as FromService) : undefined;
}

/** The message, if it is one of ours. */
export function fromSupervisor(message: unknown): FromSupervisor | undefined {
  const type = typeOf(message);
  const ours = type === 'run-directory' || type === 'stats' || type === 'stop-at-once';
  return ours ? (message as FromSupervisor) : undefined;
}
