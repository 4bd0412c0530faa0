// One life of one service's process: spawn, readiness, end. Knows nothing of restarts.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { ProcessStats } from '../metrics/measured.js';
import type { Started } from '../services/service.js';
import { fromService } from './messages.js';
import type { FromSupervisor } from './messages.js';

/** How to start a process. */
export interface ServiceCommand {
  readonly file: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Descriptors of ours that it gets as its own, from 3 on. */
  readonly descriptors?: readonly number[];
}

/** How a life ended. */
export interface ServiceEnd {
  /** What it said was wrong before it ended; one sentence without a full stop. */
  readonly message: string | undefined;
  /** Completes "the service …", in words for a person. */
  readonly how: string;
  /** The exit code; undefined if a signal ended it or it never began. */
  readonly exitCode: number | undefined;
}

/** Who wants to know. Each is called at most once, `ended` always and last. */
export interface ServiceProcessEvents {
  readonly ready: (started: Started) => void;
  readonly ended: (end: ServiceEnd) => void;
}

// How long a service may take to say its counters: a scrape waits for all of them, and Prometheus waits
// for 10 s.
const statsPatienceMs = 2000;

/** A running service. */
export class ServiceProcess {
  readonly #child: ChildProcess;
  readonly #events: ServiceProcessEvents;
  readonly #statsWaiting = new Set<(stats: ProcessStats | undefined) => void>();
  #statsAsked = false;
  #failure: { readonly message: string; readonly exitCode: number } | undefined;
  #ready = false;
  #ended = false;

  /** Spawns at once, in a session of its own: a Ctrl-C on the terminal reaches only us. */
  constructor(command: ServiceCommand, events: ServiceProcessEvents) {
    this.#events = events;
    this.#child = spawn(command.file, command.arguments, {
      detached: true,
      env: command.environment,
      // No stdout: what a service would tell a person, the supervisor says. Logs go to our stderr.
      stdio: ['ignore', 'ignore', 'inherit', ...(command.descriptors ?? []), 'ipc'],
    });
    this.#child.on('message', (message) => {
      this.#receive(message);
    });
    this.#child.once('disconnect', () => {
      this.#settleStats(undefined);
    });
    this.#child.once('error', (error) => {
      // Also raised when a signal or message can't be sent; only a failed spawn has no pid.
      if (this.#child.pid === undefined) {
        const how = `could not be started (${error.message})`;
        this.#end({ message: undefined, how, exitCode: undefined });
      }
    });
    this.#child.once('exit', (code, signal) => {
      // What it said last may still be in the channel: that ends with 'disconnect'.
      const finish = (): void => {
        this.#end(this.#endOf(code, signal));
      };
      if (this.#child.connected) this.#child.once('disconnect', finish);
      else finish();
    });
  }

  /** Process id; undefined if the spawn failed. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Sends a signal; nothing happens if the process is gone. */
  signal(signal: NodeJS.Signals): void {
    if (!this.#ended) this.#child.kill(signal);
  }

  /** Sends a message; nothing happens if the channel is closed. */
  send(message: FromSupervisor): void {
    // The callback swallows EPIPE: the end of the process is reported as its end.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  /** The service's counters; undefined if it ends, or does not answer in time. */
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
      // One question at a time: those to a process that is stopped would pile up.
      if (this.#statsAsked) return;
      this.#statsAsked = true;
      this.send({ type: 'stats' });
    });
  }

  /** Settles all who wait for counters. */
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
