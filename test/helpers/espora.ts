// Runs the real program as a user would, in processes of its own, for tests that kill it.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { cleanEnvironment } from './program.js';
import { until } from './until.js';

/** The compiled command line. */
export const mainPath = 'dist/cli/main.js';

/** An event of `espora start --json`. */
export interface StartEvent {
  readonly event: string;
  readonly service?: string;
  readonly pid?: number;
  readonly restarts?: number;
  readonly started?: { readonly port?: number };
}

/** `espora start --json` with its events. */
export class EsporaStart {
  readonly process: ChildProcess;
  readonly events: StartEvent[] = [];
  stderr = '';

  private constructor(process: ChildProcess) {
    this.process = process;
    createInterface({ input: process.stdout! }).on('line', (line) => {
      this.events.push(JSON.parse(line) as StartEvent);
    });
    process.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
  }

  /** Starts and waits until the whole is ready. */
  static launch(...args: string[]): Promise<EsporaStart> {
    return EsporaStart.launchIn({}, ...args);
  }

  /** The same with more in its environment. */
  static async launchIn(
    environment: Readonly<Record<string, string>>,
    ...args: string[]
  ): Promise<EsporaStart> {
    const start = new EsporaStart(
      spawn(process.execPath, [mainPath, 'start', '--json', ...args], {
        env: { ...cleanEnvironment(), ...environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
    await start.seen(({ event }) => event === 'ready');
    return start;
  }

  /** The first event that fits, from `from` on; waits for it. */
  seen(fits: (event: StartEvent) => boolean, from = 0): Promise<StartEvent> {
    return until(`an event that fits ${fits.toString()}`, () => {
      const found = this.events.slice(from).find(fits);
      if (found === undefined && this.#ended) {
        throw new Error(`espora start ended: ${this.stderr}`);
      }
      return found;
    });
  }

  /** The service as it was last ready. */
  latest(service: string): StartEvent {
    return this.events.findLast(
      (each) => each.event === 'service-ready' && each.service === service,
    )!;
  }

  /** The port of the service that faces clients. */
  get port(): number {
    return this.events.findLast((each) => each.started?.port !== undefined)!.started!.port!;
  }

  /** Stops it as Ctrl-C would and waits for its end; resolves with the exit code. */
  async stop(): Promise<number | null> {
    this.process.kill('SIGTERM');
    try {
      await until('espora start ends', () => this.#ended);
    } finally {
      // It would keep the tests from ending.
      this.process.kill('SIGKILL');
    }
    return this.process.exitCode;
  }

  get #ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }
}
