// Runs programs to their end, or starts them, reads their output and ends them.
import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';

/** How a program is started. */
export interface ProgramOptions {
  /** Its whole environment; default: that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Ends it with SIGTERM, which does not count as a failed start. */
  readonly signal?: AbortSignal;
  /** Its descriptors; only pipes are read. Default: stdout and stderr are pipes. */
  readonly stdio?: StdioOptions;
  /** Whether it gets its own process group. */
  readonly detached?: boolean;
}

/** A program that ended, with its output. */
export interface Ended {
  /** Null: a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that was started, with its output so far. */
export class RunningProgram {
  readonly child: ChildProcess;
  /** Fulfilled when it has ended and all its output is read; rejected if it could not be started. */
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  #hasEnded = false;
  readonly #waiting: (() => void)[] = [];

  constructor(file: string, args: readonly string[], options: ProgramOptions = {}) {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    this.child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#tell();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#tell();
    });
    this.ended = new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.#hasEnded = true;
        settle();
        this.#tell();
      };
      child.on('error', (error) => {
        if (error.name === 'AbortError') return;
        this.stderr += error.message;
        end(() => reject(error));
      });
      child.once('close', (exitCode, signal) => {
        end(() => resolve({ exitCode, signal, stdout: this.stdout, stderr: this.stderr }));
      });
    });
    // Callers that only read its output learn of a failed start by this.
    this.ended.catch(() => undefined);
  }

  get pid(): number {
    return this.child.pid!;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The complete lines on its stdout. */
  get lines(): readonly string[] {
    return this.stdout.split('\n').slice(0, -1);
  }

  /**
   * Calls the function again whenever there is more output, and resolves with its first result that is not
   * undefined; with undefined if the program ends before.
   */
  async heard<Answer>(ask: () => Answer | undefined): Promise<Answer | undefined> {
    for (;;) {
      const answer = ask();
      if (answer !== undefined || this.#hasEnded) return answer;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Asks it to end and waits until it has ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.child.kill(signal);
    return await this.ended;
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** Runs a program to its end, successful or not; rejects if it cannot be started. */
export function runProgram(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Ended> {
  return new RunningProgram(file, args, options).ended;
}

/** The stdout of a program that ends with 0; otherwise rejects with its stderr, or with how it ended. */
export async function outputOf(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  const { exitCode, signal, stdout, stderr } = await runProgram(file, args, options);
  if (exitCode === 0) return stdout;
  throw new Error(`${file}: ${stderr.trim() || `it ended with ${signal ?? `code ${exitCode}`}`}`);
}
