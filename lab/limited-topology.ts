// A topology as `espora start` runs it, but with each process in a control group that has the limits of its
// container.
import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { serviceCommand } from '#espora/cli/service-command.js';
import { EsporaError } from '#espora/errors.js';
import { resolveOptions } from '#espora/options/resolve.js';
import { openRunDirectory } from '#espora/supervisor/run-directory.js';
import { Supervisor } from '#espora/supervisor/supervisor.js';
import { planServices, socketName } from '#espora/topology/topology.js';
import type { ResourceLimits, Topology } from '#espora/topology/topology.js';
import { commandInside, LimitedGroups, readUsage } from './control-groups.js';
import { killAndWait } from './subject.js';
import type { Subject } from './subject.js';

export interface LimitedOptions {
  /** 0: the kernel chooses. */
  readonly port: number;
  /** A directory on the disk to use; a new one is created in it, and removed at the end. */
  readonly dataParent: string;
  /** Limits that replace the topology's, by the name of the service. */
  readonly limits?: Readonly<Record<string, ResourceLimits>>;
  readonly signal?: AbortSignal | undefined;
  /** Called with one sentence for each problem while it runs. */
  readonly onWarning?: (message: string) => void;
}

const drainMs = 1000;

/** Starts a topology under limits; resolves when it is ready. Rejects with an EsporaError. */
export async function startLimited(topology: Topology, options: LimitedOptions): Promise<Subject> {
  const groups = LimitedGroups.here(`espora-contest-${process.pid}-${++started}`);
  const parent = resolve(options.dataParent);
  const data = await mkdtemp(join(parent, 'espora-contest-')).catch((error: unknown) => {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new EsporaError('ERR_ESPORA_INVALID', `no directory can be made in ${parent} (${code})`);
  });
  const runDirectory = openRunDirectory();
  const cleanUp = async (): Promise<void> => {
    runDirectory.remove();
    await groups.remove();
    await rm(data, { recursive: true, force: true });
  };
  try {
    return await run(topology, options, { groups, data, sockets: runDirectory.path, cleanUp });
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

let started = 0;

interface Places {
  readonly groups: LimitedGroups;
  readonly data: string;
  readonly sockets: string;
  readonly cleanUp: () => Promise<void>;
}

async function run(
  topology: Topology,
  { port: wanted, limits = {}, signal, onWarning }: LimitedOptions,
  { groups, data, sockets, cleanUp }: Places,
): Promise<Subject> {
  const host = '127.0.0.1';
  const flags = { host, port: String(wanted), data: join(data, 'store') };
  const plans = planServices(topology, resolveOptions('start', { flags }).settings, sockets);
  const services = plans.map(({ name, limits: own }) => {
    const applied = limits[name] ?? own;
    const group = groups.make(socketName(name).replace(/\.sock$/, ''), applied);
    return { name, limits: applied, group, read: () => readUsage(group) };
  });
  let port: number | undefined;
  const supervisor = new Supervisor({
    plans,
    commandOf: (plan) => {
      const command = serviceCommand(plan, port);
      const { group } = services.find(({ name }) => name === plan.name)!;
      return { ...command, ...commandInside(group, command.file, command.arguments) };
    },
    drainMs,
    runDirectory: sockets,
    onEvent: (event) => {
      if (event.event === 'service-ready') port = event.started.port ?? port;
      if (event.event === 'service-crashed') onWarning?.(`${event.service} ${event.reason}`);
      if (event.event === 'failed') failure = event.reason;
    },
  });
  let failure: string | undefined;
  const stop = (): void => void supervisor.stopAtOnce();
  signal?.addEventListener('abort', stop);
  await supervisor.start();
  signal?.removeEventListener('abort', stop);
  if (port === undefined) {
    await supervisor.stop();
    const reason = failure ?? 'it was stopped before it was ready';
    throw new EsporaError('ERR_ESPORA_SERVICE', `${topology.name} did not start: ${reason}`);
  }
  return {
    title: `topology ${topology.name}`,
    host,
    port,
    limitsBy: 'control groups',
    services,
    askDatabase: async () => {
      const measured = await supervisor.measure();
      const database = measured.find(({ kind }) => kind === 'database')?.service;
      return database !== undefined && 'commits' in database ? database : undefined;
    },
    killDatabase: async () => {
      const name = plans.find(({ kind }) => kind === 'database')!.name;
      const pid = supervisor.pids().get(name);
      if (pid !== undefined) await killAndWait(pid);
    },
    stop: async () => {
      await supervisor.stop();
      await cleanUp();
    },
  };
}
