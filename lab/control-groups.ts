// Control groups with limits: finds a process's group and its usage, and creates groups with a share of
// the CPU and of memory. Version 1 and version 2 of the kernel's interface
// (cgroups(7); Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst).
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EsporaError } from '#espora/errors.js';
import type { ResourceLimits } from '#espora/topology/topology.js';

/** Where a hierarchy is mounted, and which of its groups is the root of the mount. */
interface Mount {
  readonly path: string;
  readonly root: string;
}

/** The hierarchies that limit CPU and memory on this machine. */
export type Hierarchies =
  | { readonly version: 1; readonly cpu: Mount; readonly cpuacct: Mount; readonly memory: Mount }
  | { readonly version: 2; readonly unified: Mount };

/** One group: its directory in each hierarchy. */
export type GroupDirectories =
  | { readonly version: 1; readonly cpu: string; readonly cpuacct: string; readonly memory: string }
  | { readonly version: 2; readonly unified: string };

/** What a group has used since it was created, and uses now. */
export interface GroupUsage {
  readonly cpuSeconds: number;
  /** Periods of its CPU limit in which it ran, and those in which it was throttled. */
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledSeconds: number;
  /** Without the page cache that the kernel would give up first. */
  readonly memoryBytes: number;
}

// The kernel's default, and Docker's.
const periodUs = 100_000;
const megabyte = 2 ** 20;
const removeAttempts = 100;
const removeEveryMs = 50;

/** Finds the hierarchies in the text of /proc/self/mountinfo (proc(5)). Pure. */
export function findHierarchies(mountinfo: string): Hierarchies | undefined {
  const byController = new Map<string, Mount>();
  let unified: Mount | undefined;
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '', path = ''] = before.split(' ');
    const [type, , superOptions = ''] = after.split(' ');
    if (type === 'cgroup2') unified = { path, root };
    if (type !== 'cgroup') continue;
    for (const controller of superOptions.split(',')) byController.set(controller, { path, root });
  }
  const [cpu, cpuacct, memory] = ['cpu', 'cpuacct', 'memory'].map((name) => byController.get(name));
  if (cpu !== undefined && cpuacct !== undefined && memory !== undefined) {
    return { version: 1, cpu, cpuacct, memory };
  }
  return unified === undefined ? undefined : { version: 2, unified };
}

function below(mount: Mount, group: string): string {
  const inMount = mount.root !== '/' && group.startsWith(mount.root);
  return join(mount.path, inMount ? group.slice(mount.root.length) : group);
}

/** The group of a process, from the text of its /proc/PID/cgroup. Pure. */
export function directoriesOf(
  hierarchies: Hierarchies,
  cgroup: string,
): GroupDirectories | undefined {
  const groups = new Map<string, string>();
  for (const line of cgroup.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    for (const controller of controllers.split(',')) groups.set(controller, path);
  }
  if (hierarchies.version === 2) {
    const path = groups.get('');
    return path === undefined
      ? undefined
      : { version: 2, unified: below(hierarchies.unified, path) };
  }
  const [cpu, cpuacct, memory] = ['cpu', 'cpuacct', 'memory'].map((name) => groups.get(name));
  if (cpu === undefined || cpuacct === undefined || memory === undefined) return undefined;
  return {
    version: 1,
    cpu: below(hierarchies.cpu, cpu),
    cpuacct: below(hierarchies.cpuacct, cpuacct),
    memory: below(hierarchies.memory, memory),
  };
}

function read(...path: readonly string[]): string {
  return readFileSync(join(...path), 'utf8');
}

/** A file of lines `name value`. */
function readPairs(...path: readonly string[]): ReadonlyMap<string, number> {
  return new Map(
    read(...path)
      .trimEnd()
      .split('\n')
      .map((line): [string, number] => {
        const [name = '', value] = line.split(' ');
        return [name, Number(value)];
      }),
  );
}

/** The usage of a group. Throws the error of reading its files: ENOENT if the group was removed. */
export function readUsage(group: GroupDirectories): GroupUsage {
  if (group.version === 1) {
    const cpu = readPairs(group.cpu, 'cpu.stat');
    const memory = readPairs(group.memory, 'memory.stat');
    const used = Number(read(group.memory, 'memory.usage_in_bytes'));
    return {
      cpuSeconds: Number(read(group.cpuacct, 'cpuacct.usage')) / 1e9,
      periods: cpu.get('nr_periods') ?? 0,
      throttledPeriods: cpu.get('nr_throttled') ?? 0,
      throttledSeconds: (cpu.get('throttled_time') ?? 0) / 1e9,
      memoryBytes: Math.max(0, used - (memory.get('total_inactive_file') ?? 0)),
    };
  }
  const cpu = readPairs(group.unified, 'cpu.stat');
  const memory = readPairs(group.unified, 'memory.stat');
  const used = Number(read(group.unified, 'memory.current'));
  return {
    cpuSeconds: (cpu.get('usage_usec') ?? 0) / 1e6,
    periods: cpu.get('nr_periods') ?? 0,
    throttledPeriods: cpu.get('nr_throttled') ?? 0,
    throttledSeconds: (cpu.get('throttled_usec') ?? 0) / 1e6,
    memoryBytes: Math.max(0, used - (memory.get('inactive_file') ?? 0)),
  };
}

function notPermitted(error: unknown): EsporaError {
  const { code = 'unknown error', path = '' } = error as NodeJS.ErrnoException;
  return new EsporaError(
    code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
      ? 'ERR_ESPORA_PERMISSION'
      : 'ERR_ESPORA_UNSUPPORTED',
    `control groups with limits cannot be made here (${code} at ${path}); ` +
      'run it as root on a machine whose control groups can be written',
  );
}

/** Creates groups with limits in a common parent, and removes them. */
export class LimitedGroups {
  readonly #hierarchies: Hierarchies;
  readonly #parent: string;
  readonly #groups: GroupDirectories[] = [];

  /** `parent`: name of the parent group; unique on this machine. */
  constructor(hierarchies: Hierarchies, parent: string) {
    this.#hierarchies = hierarchies;
    this.#parent = parent;
  }

  /** On this machine; throws ERR_ESPORA_UNSUPPORTED if it has no control groups. */
  static here(parent: string): LimitedGroups {
    const hierarchies = findHierarchies(read('/proc/self/mountinfo'));
    if (hierarchies !== undefined) return new LimitedGroups(hierarchies, parent);
    throw new EsporaError('ERR_ESPORA_UNSUPPORTED', 'no control groups are mounted here');
  }

  /** Creates a group with these limits. Throws an EsporaError. */
  make(name: string, limits: ResourceLimits): GroupDirectories {
    try {
      return this.#make(name, limits);
    } catch (error) {
      throw notPermitted(error);
    }
  }

  #make(name: string, { cpus, memoryMegabytes }: ResourceLimits): GroupDirectories {
    const quotaUs = Math.round(cpus * periodUs);
    const memoryBytes = memoryMegabytes * megabyte;
    const hierarchies = this.#hierarchies;
    if (hierarchies.version === 2) {
      // Controllers must be enabled on each level; only the root may also have processes.
      const parent = join(hierarchies.unified.path, this.#parent);
      mkdirSync(parent, { recursive: true });
      for (const level of [hierarchies.unified.path, parent]) {
        writeFileSync(join(level, 'cgroup.subtree_control'), '+cpu +memory');
      }
      const unified = join(parent, name);
      mkdirSync(unified);
      this.#groups.push({ version: 2, unified });
      writeFileSync(join(unified, 'cpu.max'), `${quotaUs} ${periodUs}`);
      writeFileSync(join(unified, 'memory.max'), String(memoryBytes));
      return { version: 2, unified };
    }
    const inside = ({ path }: Mount): string => join(path, this.#parent, name);
    const group: GroupDirectories = {
      version: 1,
      cpu: inside(hierarchies.cpu),
      cpuacct: inside(hierarchies.cpuacct),
      memory: inside(hierarchies.memory),
    };
    this.#groups.push(group);
    for (const directory of directories(group)) mkdirSync(directory, { recursive: true });
    writeFileSync(join(group.cpu, 'cpu.cfs_period_us'), String(periodUs));
    writeFileSync(join(group.cpu, 'cpu.cfs_quota_us'), String(quotaUs));
    writeFileSync(join(group.memory, 'memory.limit_in_bytes'), String(memoryBytes));
    return group;
  }

  /** Removes all groups when their processes have ended; groups still in use are left. */
  async remove(): Promise<void> {
    const all = this.#groups.flatMap(directories);
    const parents = all.map((directory) => join(directory, '..'));
    for (const directory of [...new Set([...all, ...parents])]) await removeGroup(directory);
  }
}

/** A group's directories, each once. */
function directories(group: GroupDirectories): string[] {
  if (group.version === 2) return [group.unified];
  return [...new Set([group.cpu, group.cpuacct, group.memory])];
}

async function removeGroup(directory: string): Promise<void> {
  for (let attempt = 0; attempt < removeAttempts; attempt++) {
    try {
      rmdirSync(directory);
      return;
    } catch (error) {
      // A process that has just ended may still be counted.
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') return;
    }
    await sleep(removeEveryMs);
  }
}

// The shell moves itself into the groups and then executes the command, which never runs without limits.
const enter =
  'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 > "$1"; shift; n=$((n-1)); done; exec "$@"';

/** The command that runs `file` with `args` inside a group from the start. */
export function commandInside(
  group: GroupDirectories,
  file: string,
  args: readonly string[],
): { readonly file: string; readonly arguments: readonly string[] } {
  const entrances = directories(group).map((directory) => join(directory, 'cgroup.procs'));
  return {
    file: '/bin/sh',
    arguments: ['-c', enter, 'sh', String(entrances.length), ...entrances, file, ...args],
  };
}
