// The containers of a compose file as the subject of a run: starts, inspects and removes them.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EsporaError } from '#espora/errors.js';
import { directoriesOf, findHierarchies, readUsage } from './control-groups.js';
import type { GroupDirectories } from './control-groups.js';
import { freePort } from './free-port.js';
import { runProgram } from './program.js';
import type { Ended } from './program.js';
import { askOverHttp, killAndWait } from './subject.js';
import type { Subject, SubjectService } from './subject.js';

export interface ComposeOptions {
  readonly port: number;
  readonly signal?: AbortSignal | undefined;
  /** Called with one line for each step. */
  readonly onLine?: (line: string) => void;
  /** Called if they do not start, while the containers can still be inspected. */
  readonly onFailure?: (project: ComposeProject) => Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const healthyMs = 90_000;
const lookEveryMs = 250;
const megabyte = 2 ** 20;

/** Runs a command to its end; a missing one has the exit code that a shell gives. */
function run(command: string, args: readonly string[], env: Environment): Promise<Ended> {
  return runProgram(command, args, { env }).catch((error: Error) => {
    return { exitCode: 127, signal: null, stdout: '', stderr: error.message };
  });
}

/** The command for compose files on this machine: Docker's plugin, or the separate program. */
async function composeCommand(env: Environment): Promise<readonly string[]> {
  for (const command of [['docker', 'compose'], ['docker-compose']]) {
    const [file, ...args] = command as [string, ...string[]];
    if ((await run(file, [...args, 'version'], env)).exitCode === 0) return command;
  }
  throw new EsporaError(
    'ERR_ESPORA_UNSUPPORTED',
    'neither "docker compose" nor "docker-compose" works here; install one of them',
  );
}

/** The part of `docker inspect` of a container that is used here. */
interface Inspected {
  readonly Id: string;
  readonly Config: { readonly Labels: Readonly<Record<string, string>> };
  readonly HostConfig: { readonly NanoCpus: number; readonly Memory: number };
  readonly RestartCount: number;
  readonly State: {
    readonly Status: string;
    readonly Pid: number;
    readonly Health?: { readonly Status: string };
  };
}

/** One container of a project. */
export interface Container {
  readonly id: string;
  /** The service's name in the compose file. */
  readonly service: string;
  readonly pid: number;
  readonly running: boolean;
  /** Undefined if it has no health check. */
  readonly health: string | undefined;
  readonly restarts: number;
  readonly cpus: number;
  readonly memoryMegabytes: number;
}

function containerOf({ Id, Config, HostConfig, RestartCount, State }: Inspected): Container {
  return {
    id: Id,
    service: Config.Labels['com.docker.compose.service'] ?? Id.slice(0, 12),
    pid: State.Pid,
    running: State.Status === 'running',
    health: State.Health?.Status,
    restarts: RestartCount,
    cpus: HostConfig.NanoCpus / 1e9,
    memoryMegabytes: HostConfig.Memory / megabyte,
  };
}

/** Parses the output of `docker inspect`. */
function inspectedContainers(text: string): readonly Container[] {
  return (JSON.parse(text) as Inspected[]).map(containerOf);
}

let projects = 0;

/** The containers of one compose file, separate from all others on this machine. */
export class ComposeProject {
  readonly file: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly #command: readonly string[];
  readonly #env: Environment;
  readonly #directory: string;
  readonly #begunMs = Date.now();

  private constructor(
    file: string,
    ports: { readonly port: number; readonly metricsPort: number },
    command: readonly string[],
  ) {
    this.file = file;
    this.port = ports.port;
    this.metricsPort = ports.metricsPort;
    this.#command = command;
    this.#directory = mkdtempSync(join(tmpdir(), 'espora-compose-'));
    this.#env = {
      ...process.env,
      COMPOSE_PROJECT_NAME: `espora-${process.pid}-${++projects}`,
      PORT: String(ports.port),
      METRICS_PORT: String(ports.metricsPort),
      ...this.#nginxConfiguration(),
    };
  }

  /** Checks what can be checked without starting anything. Rejects with an EsporaError. */
  static async open(file: string, port: number): Promise<ComposeProject> {
    const path = resolve(file);
    if (!existsSync(path)) {
      const message = `there is no compose file ${file}; docker/ has relay.yml, handoff.yml, nginx.yml`;
      throw new EsporaError('ERR_ESPORA_INVALID', message);
    }
    const command = await composeCommand(process.env);
    return new ComposeProject(path, { port, metricsPort: await freePort() }, command);
  }

  /** A copy of nginx's configuration with our port; nginx reads its port only there. */
  #nginxConfiguration(): Environment {
    const original = join(dirname(this.file), 'nginx.conf');
    if (!existsSync(original)) return {};
    const copy = join(this.#directory, 'nginx.conf');
    const text = readFileSync(original, 'utf8').replace(/listen 9999 /, `listen ${this.port} `);
    writeFileSync(copy, text, { mode: 0o644 });
    return { NGINX_CONFIGURATION: copy };
  }

  async #compose(...args: readonly string[]): Promise<Ended> {
    const [file, ...first] = this.#command as readonly [string, ...string[]];
    return run(file, [...first, '--file', this.file, ...args], this.#env);
  }

  /** Starts the containers and waits until all are healthy. Rejects with an EsporaError. */
  async up(signal?: AbortSignal): Promise<readonly Container[]> {
    const { exitCode, stderr } = await this.#compose('up', '--detach', '--no-build');
    if (exitCode !== 0) {
      const hint = /no such image|pull access|No such image/i.test(stderr)
        ? '; build it first: docker build -f docker/Dockerfile -t espora .'
        : '';
      const last = stderr.trim().split('\n').at(-1) ?? '';
      const message = `${basename(this.file)} did not start: ${last.replace(/\.$/, '')}${hint}`;
      throw new EsporaError('ERR_ESPORA_SERVICE', message);
    }
    return this.healthy(signal);
  }

  /** Resolves when all containers run and those with a health check are healthy. */
  async healthy(signal?: AbortSignal): Promise<readonly Container[]> {
    const giveUpAt = performance.now() + healthyMs;
    for (;;) {
      const containers = await this.containers();
      const waiting = containers.filter(
        ({ running, health = 'healthy' }) => !running || health !== 'healthy',
      );
      if (waiting.length === 0 && containers.length > 0) return containers;
      if (performance.now() > giveUpAt || signal?.aborted === true) {
        const which = waiting.map(({ service }) => service).join(', ');
        const said = (await this.logs()).trimEnd().split('\n').at(-1) ?? '';
        const message = `${which} of ${basename(this.file)} did not become healthy: ${said.trim()}`;
        throw new EsporaError('ERR_ESPORA_SERVICE', message.replace(/[.: ]+$/, ''));
      }
      await sleep(lookEveryMs);
    }
  }

  /** The current state of the containers. */
  async containers(): Promise<readonly Container[]> {
    const listed = await this.#compose('ps', '--quiet');
    const ids = listed.stdout.split('\n').filter((id) => id !== '');
    if (ids.length === 0) return [];
    const { exitCode, stdout, stderr } = await run('docker', ['inspect', ...ids], this.#env);
    if (exitCode !== 0)
      throw new EsporaError('ERR_ESPORA_SERVICE', `docker inspect: ${stderr.trim()}`);
    return inspectedContainers(stdout);
  }

  /** The last output of the containers. */
  async logs(): Promise<string> {
    return (await this.#compose('logs', '--no-color', '--tail', '50')).stdout;
  }

  /**
   * Evidence for a failure, as files by name: each container's output, its state with exit code and
   * restarts, and the engine's events. Never rejects: an error replaces what cannot be had.
   */
  async evidence(): Promise<Readonly<Record<string, string>>> {
    const files: Record<string, string> = {};
    const { stdout } = await this.#compose('ps', '--all', '--quiet');
    for (const id of stdout.split('\n').filter((line) => line !== '')) {
      const inspected = await run('docker', ['inspect', id], this.#env);
      const logged = await run('docker', ['logs', '--timestamps', id], this.#env);
      // If a container was removed in between, only the error of `docker inspect` is known.
      const [container] = inspected.exitCode === 0 ? inspectedContainers(inspected.stdout) : [];
      const name = container?.service ?? id;
      files[`${name}.json`] = `${inspected.stdout}${inspected.stderr}`;
      files[`${name}.log`] = `${logged.stdout}${logged.stderr}`;
    }
    const seconds = (ms: number): string => String(Math.ceil(ms / 1000));
    const project = `label=com.docker.compose.project=${String(this.#env['COMPOSE_PROJECT_NAME'])}`;
    const events = await run(
      'docker',
      [
        'events',
        '--since',
        seconds(this.#begunMs - 1000),
        '--until',
        seconds(Date.now()),
        '--filter',
        project,
      ],
      this.#env,
    );
    files['events.txt'] = `${events.stdout}${events.stderr}`;
    return files;
  }

  /** Removes containers and volumes. Never rejects. */
  async down(): Promise<void> {
    await this.#compose('down', '--volumes', '--timeout', '8');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function directoriesOfContainer(pid: number): GroupDirectories {
  const hierarchies = findHierarchies(readFileSync('/proc/self/mountinfo', 'utf8'));
  const group =
    hierarchies && directoriesOf(hierarchies, readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
  if (group !== undefined) return group;
  throw new EsporaError('ERR_ESPORA_UNSUPPORTED', 'the containers are in no control group');
}

function serviceOf({ service, pid, cpus, memoryMegabytes }: Container): SubjectService {
  const group = directoriesOfContainer(pid);
  return { name: service, limits: { cpus, memoryMegabytes }, read: () => readUsage(group) };
}

/** Starts the containers of a compose file. Rejects with an EsporaError. */
export async function startCompose(
  file: string,
  { port, signal, onLine, onFailure }: ComposeOptions,
): Promise<Subject & { readonly project: ComposeProject }> {
  const project = await ComposeProject.open(file, port);
  try {
    onLine?.(`starting the containers of ${file}`);
    const containers = await project.up(signal);
    return {
      title: file,
      host: '127.0.0.1',
      port,
      limitsBy: 'containers',
      project,
      services: containers.map(serviceOf),
      askDatabase: () => askOverHttp(project.metricsPort),
      killDatabase: async () => {
        const database = (await project.containers()).find(({ service }) => service === 'database');
        // Not by the engine, for which it would be stopped on purpose and not be restarted.
        if (database !== undefined && database.pid > 0) await killAndWait(database.pid);
      },
      stop: () => project.down(),
    };
  } catch (error) {
    try {
      await onFailure?.(project);
    } catch {
      // The caller needs the reason why they did not start.
    }
    await project.down();
    throw error;
  }
}
