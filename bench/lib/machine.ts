// The facts without which a figure means nothing: machine, kernel, disk, versions, commit, date.

import { readFileSync, realpathSync } from 'node:fs';
import { loadavg } from 'node:os';
import { basename } from 'node:path';
import { readSurroundings } from '#espora/lab/surroundings.js';
import type { Surroundings } from '#espora/lab/surroundings.js';

export interface Disk {
  readonly fileSystem: string;
  /** Undefined where no single block device stands behind the file system. */
  readonly device: string | undefined;
  readonly writeCache: string | undefined;
}

export interface Machine extends Surroundings {
  readonly disk: Disk;
  /** ISO 8601, UTC. */
  readonly date: string;
  /** Of one minute, before the first trial: anything well above 0 means that others were at work. */
  readonly loadAverage: number;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

interface Mount {
  readonly device: string; // major:minor
  readonly point: string;
  readonly fileSystem: string;
}

/** The lines of /proc/self/mountinfo, proc(5). */
export function parseMounts(mountinfo: string): Mount[] {
  const unescape = (text: string): string =>
    text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return mountinfo
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [facts, more] = line.split(' - ');
      const [, , device, , point] = facts!.split(' ');
      return { device: device!, point: unescape(point!), fileSystem: more!.split(' ')[0]! };
    });
}

/** The mount that holds `path`: the longest point above it, the last one mounted there. */
export function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mounts) {
    const holds = mount.point === '/' || path === mount.point || path.startsWith(`${mount.point}/`);
    if (holds && mount.point.length >= (found?.point.length ?? 0)) found = mount;
  }
  return found;
}

function diskOf(directory: string): Disk {
  const mounts = parseMounts(readText('/proc/self/mountinfo') ?? '');
  const mount = mountOf(realpathSync(directory), mounts);
  if (mount === undefined) {
    return { fileSystem: 'unknown', device: undefined, writeCache: undefined };
  }
  const folder = `/sys/dev/block/${mount.device}`;
  let device: string | undefined;
  try {
    device = basename(realpathSync(folder));
  } catch {
    device = undefined; // overlayfs, btrfs, tmpfs: no block device of that number
  }
  // A partition has no queue of its own, its disk does.
  const writeCache =
    readText(`${folder}/queue/write_cache`) ?? readText(`${folder}/../queue/write_cache`);
  return { fileSystem: mount.fileSystem, device, writeCache };
}

export function readMachine(directory: string): Machine {
  return {
    ...readSurroundings(),
    disk: diskOf(directory),
    date: new Date().toISOString(),
    loadAverage: loadavg()[0]!,
  };
}

/** All of it in a few lines. */
export function describeMachine(machine: Machine): string[] {
  const { disk } = machine;
  const device = disk.device === undefined ? '' : ` on ${disk.device}`;
  const cache = disk.writeCache === undefined ? '' : `, write cache: ${disk.writeCache}`;
  return [
    `${machine.cpus} × ${machine.cpu}${machine.hypervisor ? ' (virtual)' : ''}, ` +
      `${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB, ${machine.kernel} ${machine.architecture}`,
    `disk: ${disk.fileSystem}${device}${cache}`,
    `Node.js ${machine.node}, commit ${machine.commit ?? 'unknown'}${machine.modified ? ' with changes' : ''}, ` +
      `${machine.date}, load average at start ${machine.loadAverage.toFixed(2)}`,
  ];
}
