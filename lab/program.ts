// Programs in processes of their own: run to their end, or started, heard and ended.
import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';

/** How a program is started. */
export interface ProgramOptions {
  /** Its whole environment; without it, that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Ends it with SIGTERM, which is no failure of its start. */
  readonly signal?: AbortSignal;
  /** Of its own descriptors; what is no pipe is not heard. By default stdout and stderr are heard. */
  readonly stdio?: StdioOptions;
  /** Gives it a process group of its own. */
  readonly detached?: boolean;
}

/** A program that ended, and all that it said. */
export interface Ended {
  /** Null: a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that was started, and what it has said so far. */
export class RunningProgram {
  readonly child: ChildProcess;
  /** Fulfilled when it has ended and all that it said is read; rejected if it could not be started. */
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
    // A caller that only listens learns of a failed start by that.
    this.ended.catch(() => undefined);
  }

  get pid(): number {
    return this.child.pid!;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The lines that it has finished on stdout. */
  get lines(): readonly string[] {
    return this.stdout.split('\n').slice(0, -1);
  }

  /**
   * The first answer that is not undefined, of a question that is asked again whenever the program has said
   * more; undefined if it ends without such an answer.
   */
  async heard<Answer>(ask: () => Answer | undefined): Promise<Answer | undefined> {
    for (;;) {
      const answer = ask();
      if (answer !== undefined || this.#hasEnded) return answer;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Asks it to end and waits until it has. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.child.kill(signal);
    return await this.ended;
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** Runs a program to its end, whatever that is; rejects if it can't be started. */
export function runProgram(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Ended> {
  return new RunningProgram(file, args, options).ended;
}

/** What a program prints that ends with 0; otherwise rejects with what it said on stderr, or how it ended. */
export async function outputOf(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  const { exitCode, signal, stdout, stderr } = await runProgram(file, args, options);
  if (exitCode === 0) return stdout;
  throw new Error(`${file}: ${stderr.trim() || `it ended with ${signal ?? `code ${exitCode}`}`}`);
}
