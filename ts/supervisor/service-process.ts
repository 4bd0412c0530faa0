// One process of a service: spawn, readiness, end. It knows nothing of restarts.
import { spawn, type ChildProcess } from 'node:child_process';
import type { ProcessStats } from '../metrics/measured.js';
import type { Started } from '../services/service.js';
import { fromService, type FromSupervisor } from './messages.js';

export interface ServiceCommand {
  readonly file: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Descriptors of this process that it inherits as 3, 4, … */
  readonly descriptors?: readonly number[];
}

/** How a process ended. */
export interface ServiceEnd {
  /** The failure that it reported before it ended; one sentence without a full stop. */
  readonly message: string | undefined;
  /** Completes the sentence "the service …". */
  readonly how: string;
  /** The exit code; undefined if a signal ended it or it could not be started. */
  readonly exitCode: number | undefined;
}

/** The listeners. Each is called at most once; `ended` always, and last. */
export interface ServiceProcessEvents {
  readonly ready: (started: Started) => void;
  readonly ended: (end: ServiceEnd) => void;
}

// How long a service may take to report its counters: a scrape waits for all services, and Prometheus
// gives up after 10 s.
const statsPatienceMs = 2000;

export class ServiceProcess {
  readonly #child: ChildProcess;
  readonly #events: ServiceProcessEvents;
  readonly #statsWaiting = new Set<(stats: ProcessStats | undefined) => void>();
  #statsAsked = false;
  #failure: { readonly message: string; readonly exitCode: number } | undefined;
  #ready = false;
  #ended = false;

  /** Spawns at once, in a session of its own, so that a Ctrl-C reaches only the supervisor. */
  constructor(command: ServiceCommand, events: ServiceProcessEvents) {
    this.#events = events;
    this.#child = spawn(command.file, command.arguments, {
      detached: true,
      env: command.environment,
      // No stdout: the supervisor prints for its services. Their logs go to our stderr.
      stdio: ['ignore', 'ignore', 'inherit', ...(command.descriptors ?? []), 'ipc'],
    });
    this.#child.on('message', (message) => this.#receive(message));
    this.#child.once('disconnect', () => this.#settleStats(undefined));
    this.#child.once('error', (error) => {
      // Also emitted when a signal or message cannot be sent; only after a failed spawn there is no pid.
      if (this.#child.pid === undefined) {
        const how = `could not be started (${error.message})`;
        this.#end({ message: undefined, how, exitCode: undefined });
      }
    });
    this.#child.once('exit', (code, signal) => {
      // Its last messages may still be in the channel until 'disconnect'.
      const finish = (): void => this.#end(this.#endOf(code, signal));
      if (this.#child.connected) this.#child.once('disconnect', finish);
      else finish();
    });
  }

  /** Process id; undefined if the spawn failed. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Sends a signal, unless the process has ended. */
  signal(signal: NodeJS.Signals): void {
    if (!this.#ended) this.#child.kill(signal);
  }

  /** Sends a message, unless the channel is closed. */
  send(message: FromSupervisor): void {
    // The callback ignores EPIPE: the end of the process is reported by its exit.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  /** The service's counters; undefined if it ends or does not answer in time. */
  stats(): Promise<ProcessStats | undefined> {
    if (!this.#ready || !this.#child.connected) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const settle = (stats: ProcessStats | undefined): void => {
        clearTimeout(deadline);
        this.#statsWaiting.delete(settle);
        resolve(stats);
      };
      const deadline = setTimeout(settle, statsPatienceMs, undefined);
      this.#statsWaiting.add(settle);
      // One question at a time: they would pile up for a process that is suspended.
      if (this.#statsAsked) return;
      this.#statsAsked = true;
      this.send({ type: 'stats' });
    });
  }

  #settleStats(stats: ProcessStats | undefined): void {
    this.#statsAsked = false;
    for (const settle of [...this.#statsWaiting]) settle(stats);
  }

  #receive(received: unknown): void {
    const message = fromService(received);
    if (message === undefined) return;
    if (message.type === 'ready' && !this.#ready) {
      this.#ready = true;
      this.#events.ready(message.started);
    } else if (message.type === 'failed') {
      this.#failure = message;
    } else if (message.type === 'stats') {
      this.#settleStats(message.stats);
    }
  }

  #endOf(code: number | null, signal: NodeJS.Signals | null): ServiceEnd {
    const message = this.#failure?.message.replace(/\.$/, '');
    if (signal !== null) return { message, how: `was killed by ${signal}`, exitCode: undefined };
    const exitCode = code ?? 1;
    return { message, how: `ended with exit code ${String(exitCode)}`, exitCode };
  }

  #end(end: ServiceEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#events.ended(end);
  }
}
