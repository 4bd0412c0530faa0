// The program `espora` as a process, for tests.
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { RunningProgram } from '#espora/lab/program.js';
import type { Ended } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';

const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

/** How a process is started. */
export interface ProgramOptions {
  /** Added to the environment of the test, from which espora's variables are removed. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** A descriptor for its stdout, which the test then does not read. */
  readonly stdout?: number;
  /** Descriptors of the test that it inherits as 3, 4, … */
  readonly descriptors?: readonly number[];
  /** Whether its input stays open, for `type`. */
  readonly keepInput?: boolean;
}

/** A line of JSON that a program printed with --json. */
export type EventLine = { readonly event: string } & Readonly<Record<string, unknown>>;

const ours = /^(ESPORA_(?!ADDON$).*|PORT|UNIX_SOCKET|UPSTREAMS|DB|LISTEN_FDS)$/;

/** The environment of the test without espora's variables. */
export function cleanEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !ours.test(entry[0]),
    ),
  );
}

/** A running process and its output so far. Killed when the test ends. */
export class Program extends RunningProgram {
  constructor(
    t: ExecutionContext<unknown>,
    file: string,
    args: readonly string[],
    options: ProgramOptions,
  ) {
    super(file, args, {
      env: { ...cleanEnvironment(), ...options.environment },
      stdio: ['pipe', options.stdout ?? 'pipe', 'pipe', ...(options.descriptors ?? [])],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const { stdin } = this.child;
    // A program that does not read its input may end before we close it.
    stdin!.on('error', () => undefined);
    if (options.keepInput !== true) stdin!.end();
    t.teardown(async () => {
      this.child.kill('SIGKILL');
      await this.ended.catch(() => undefined);
    });
  }

  /** The events that it printed so far; only with --json. */
  get events(): readonly EventLine[] {
    return this.lines.map((line) => JSON.parse(line) as EventLine);
  }

  /** The first event that matches; throws if the process ends without one. */
  event(name: string, matches: (event: EventLine) => boolean = () => true): Promise<EventLine> {
    return until(`${name} is printed`, () => {
      const { hasEnded } = this;
      const found = this.events.find((event) => event.event === name && matches(event));
      if (found === undefined && hasEnded) {
        throw new Error(`no ${name}; stdout: ${this.stdout}; stderr: ${this.stderr}`);
      }
      return found;
    });
  }

  /** Writes to its input. */
  type(text: string): void {
    this.child.stdin!.write(text);
  }
}

/** Starts `espora` with these arguments. */
export function startEspora(
  t: ExecutionContext<unknown>,
  args: readonly string[],
  options: ProgramOptions = {},
): Program {
  return new Program(t, process.execPath, [main, ...args], options);
}

/**
 * Starts `espora` as a service manager does (sd_listen_fds(3)): `descriptors` are its own from 3 on, and
 * LISTEN_PID is the process id that it will have.
 */
export function startOnSockets(
  t: ExecutionContext<unknown>,
  args: readonly string[],
  descriptors: readonly number[],
  options: ProgramOptions = {},
): Program {
  const script = 'exec env LISTEN_PID=$$ LISTEN_FDNAMES=a "$@"';
  const environment = { LISTEN_FDS: String(descriptors.length), ...options.environment };
  const all = ['-c', script, 'sh', process.execPath, main, ...args];
  return new Program(t, '/bin/sh', all, { ...options, environment, descriptors });
}

/**
 * Starts `espora` on a new terminal; `type` writes to the terminal. Only the program gets a sanitizer's
 * library, not `script` and the shell around it.
 */
export function startOnTerminal(
  t: ExecutionContext<unknown>,
  args: readonly string[],
  options: ProgramOptions = {},
): Program {
  const quoted = [process.execPath, main, ...args].map((one) => `'${one}'`).join(' ');
  const preload = process.env['LD_PRELOAD'] ?? '';
  const environment = { ...options.environment, LD_PRELOAD: '' };
  const script = ['-q', '-e', '-c', `LD_PRELOAD='${preload}' exec ${quoted}`, '/dev/null'];
  return new Program(t, 'script', script, { ...options, environment, keepInput: true });
}

/** Runs `espora` with these arguments to its end. */
export function runEspora(
  t: ExecutionContext<unknown>,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Ended> {
  return startEspora(t, args, options).ended;
}
