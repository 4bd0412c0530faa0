// Runs the real program as a user would, for tests that kill its processes.
import type { ChildProcess } from 'node:child_process';
import { RunningProgram } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';
import { cleanEnvironment } from './program.js';

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
  readonly #program: RunningProgram;

  private constructor(args: readonly string[], environment: Readonly<Record<string, string>>) {
    const env = { ...cleanEnvironment(), ...environment };
    const all = [mainPath, 'start', '--json', ...args];
    this.#program = new RunningProgram(process.execPath, all, { env });
  }

  get process(): ChildProcess {
    return this.#program.child;
  }

  get stderr(): string {
    return this.#program.stderr;
  }

  get events(): readonly StartEvent[] {
    return this.#program.lines.map((line) => JSON.parse(line) as StartEvent);
  }

  /** Starts it and waits until all services are ready. */
  static launch(...args: string[]): Promise<EsporaStart> {
    return EsporaStart.launchIn({}, ...args);
  }

  /** The same with additional variables in its environment. */
  static async launchIn(
    environment: Readonly<Record<string, string>>,
    ...args: string[]
  ): Promise<EsporaStart> {
    const start = new EsporaStart(args, environment);
    await start.seen(({ event }) => event === 'ready');
    return start;
  }

  /** Waits for the first matching event from index `from` on. */
  seen(fits: (event: StartEvent) => boolean, from = 0): Promise<StartEvent> {
    return until(`an event that fits ${fits.toString()}`, () => {
      const found = this.events.slice(from).find(fits);
      if (found === undefined && this.#ended) {
        throw new Error(`espora start ended: ${this.stderr}`);
      }
      return found;
    });
  }

  /** The last `ready` event of the service. */
  latest(service: string): StartEvent {
    return this.events.findLast(
      (each) => each.event === 'service-ready' && each.service === service,
    )!;
  }

  /** The port of the service that faces clients. */
  get port(): number {
    return this.events.findLast((each) => each.started?.port !== undefined)!.started!.port!;
  }

  /** Stops it as Ctrl-C does and waits for its end; resolves with the exit code. */
  async stop(): Promise<number | null> {
    this.process.kill('SIGTERM');
    try {
      await until('espora start ends', () => this.#ended);
    } finally {
      // The timer would keep the tests from ending.
      this.process.kill('SIGKILL');
    }
    return this.process.exitCode;
  }

  get #ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }
}
