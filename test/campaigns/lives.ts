// Lives of the real service, in processes of their own, for campaigns that end them.
import { readFileSync } from 'node:fs';
import type { NetConnectOpts } from 'node:net';
import { RunningProgram } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';
import { EsporaStart, mainPath } from '../helpers/espora.js';
import { isRunning } from '../helpers/process.js';
import { cleanEnvironment } from '../helpers/program.js';
import type { Stored } from './history.js';
import { readStored } from './store.js';

/** Segments so small that every campaign sees many of them come and go. */
export const smallSegments = { ESPORA_SEGMENT_BYTES: String(1024 * 1024) };

/** How a database alone is started. */
export interface DatabaseOptions {
  readonly data: string;
  /** Where it listens. */
  readonly path: string;
  /** What runs it, for example strace(1) with its arguments. */
  readonly under?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** A database as a process of its own. */
export class DatabaseLife {
  readonly where: NetConnectOpts;
  /** Fulfilled with true when it is ready, with false when it ended before. */
  readonly ready: Promise<boolean>;
  /** Fulfilled with its exit code or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  readonly #program: RunningProgram;
  readonly #wrapped: boolean;
  static readonly #alive = new Set<DatabaseLife>();

  constructor({ data, path, under = [], environment = {} }: DatabaseOptions) {
    this.where = { path };
    this.#wrapped = under.length > 0;
    const [file, ...args] = [...under, process.execPath, mainPath, 'database'];
    const program = new RunningProgram(file, args, {
      env: {
        ...cleanEnvironment(),
        ...smallSegments,
        ...environment,
        UNIX_SOCKET: path,
        ESPORA_DATA: data,
      },
    });
    this.#program = program;
    this.ended = program.ended.then(({ exitCode, signal }) => exitCode ?? signal!);
    DatabaseLife.#alive.add(this);
    program.child.once('close', () => DatabaseLife.#alive.delete(this));
    this.ready = program.heard(() => program.lines[0]).then((line) => line !== undefined);
  }

  get stderr(): string {
    return this.#program.stderr;
  }

  /** The database itself, not what it runs under. */
  get pid(): number | undefined {
    const { pid } = this.#program.child;
    if (!this.#wrapped || pid === undefined) return pid;
    try {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
      return Number(children.trim().split(' ')[0]) || undefined;
    } catch {
      return undefined; // it has ended
    }
  }

  /** Sends a signal; nothing happens if it has ended. */
  signal(signal: NodeJS.Signals): void {
    const { pid } = this;
    if (pid !== undefined && this.#program.child.exitCode === null) signalIfThere(pid, signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }

  /** Ends what a test that failed left running, so that nothing waits for it. */
  static async killAll(): Promise<void> {
    await Promise.all([...DatabaseLife.#alive].map((life) => life.kill()));
  }

  /** Stops it as Ctrl-C would. */
  async stop(): Promise<number | NodeJS.Signals> {
    this.signal('SIGTERM');
    return await this.ended;
  }
}

/**
 * All transactions that a start finds in a store. Without one the last batch is not proven where its
 * segment had no block left for a seal, and `readStored` does not show it.
 */
export async function readRecovered(data: string, path: string): Promise<Stored[]> {
  const life = new DatabaseLife({ data, path });
  if (!(await life.ready)) throw new Error(life.stderr);
  try {
    return await readStored(data);
  } finally {
    await life.stop();
  }
}

/** Sends a signal; nothing happens if the process is gone. */
export function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Services of the topology `relay`, in start order. */
export const relayServices = ['database', 'api 1', 'api 2', 'balancer'] as const;

/** Starts the picture of the README and waits until it is ready. */
export function startProxy(
  data: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<EsporaStart> {
  const args = ['--port', '0', '--host', '127.0.0.1', '--data', data, '--segment-bytes', '1MiB'];
  return EsporaStart.launchIn(environment, ...args);
}

/** Kills the supervisor and waits until all that it had started has ended. */
export async function killSupervisor(espora: EsporaStart): Promise<void> {
  const pids = relayServices.map((name) => espora.latest(name).pid!);
  espora.process.kill('SIGKILL');
  await until('the services of a killed supervisor have ended', () => !pids.some(isRunning));
}
