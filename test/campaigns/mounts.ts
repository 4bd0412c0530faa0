// File systems on files: made, loop-mounted, and mounted on a disk that writes everything down or fails on
// demand (test/native/campaigns/power_disk.cc). Needs root.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { outputOf, RunningProgram } from '#espora/lab/program.js';
import type { Extent } from './power-log.js';
import { campaignTool, toolEnvironment } from './tools.js';

export const fileSystems = ['ext4', 'xfs', 'btrfs'] as const;
export type FileSystem = (typeof fileSystems)[number];

const mebibyte = 1024 * 1024;

/** The smallest that each can be made on, or little more. */
const imageBytes: Readonly<Record<FileSystem, number>> = {
  ext4: 128 * mebibyte,
  xfs: 320 * mebibyte,
  btrfs: 160 * mebibyte,
};

const makers: Readonly<Record<FileSystem, readonly string[]>> = {
  ext4: [
    ...['mkfs.ext4', '-q', '-F', '-b', '4096', '-m', '0'],
    ...['-E', 'nodiscard,lazy_itable_init=0,lazy_journal_init=0'],
  ],
  xfs: ['mkfs.xfs', '-q', '-f', '-K'],
  btrfs: ['mkfs.btrfs', '-q', '-f', '-K'],
};

/**
 * Where each keeps its superblock, if that is longer than a sector: it is written in place, with one
 * checksum over all of it, and mounting goes by it first. The file system takes for granted that such a
 * write is there or not; so the campaign does.
 */
export const superblocks: Readonly<Record<FileSystem, readonly Extent[]>> = {
  ext4: [{ from: 1024, to: 2048 }],
  xfs: [],
  btrfs: [{ from: 65_536, to: 69_632 }],
};

const packages: Readonly<Record<string, string>> = {
  losetup: 'mount',
  mount: 'mount',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  'mkfs.btrfs': 'btrfs-progs',
};

/** Why file systems can't be mounted here; undefined where they can. */
export function mountsMissing(fileSystem: FileSystem = 'ext4'): string | undefined {
  if (process.getuid!() !== 0) return 'only root may mount file systems';
  for (const tool of ['losetup', 'mount', makers[fileSystem][0]!]) {
    if (spawnSync(tool, ['-V'], { env: toolEnvironment() }).error !== undefined) {
      return `${tool} is not installed (Debian package ${packages[tool]})`;
    }
  }
  if (!existsSync('/dev/loop-control')) return 'there is no /dev/loop-control';
  return undefined;
}

/** Why there can be no disk of ours; undefined where there can. */
export function powerDiskMissing(fileSystem: FileSystem = 'ext4'): string | undefined {
  const missing = mountsMissing(fileSystem);
  if (missing !== undefined) return missing;
  if (!existsSync('/dev/fuse')) return 'there is no /dev/fuse';
  for (const [tool, ...args] of [
    ['fusermount3', '-V'],
    ['cmake', '--version'],
    ['pkg-config', '--exists', 'fuse3'],
  ] as const) {
    if (spawnSync(tool, args, { env: toolEnvironment() }).status !== 0) {
      return 'FUSE or what builds for it is not installed (Debian packages libfuse3-dev fuse3 cmake pkg-config)';
    }
  }
  return undefined;
}

async function run(command: string, ...args: string[]): Promise<string> {
  return (await outputOf(command, args, { env: toolEnvironment() })).trim();
}

/** Makes a file with an empty file system in it; `flags` go to what makes it. */
export async function makeImage(
  image: string,
  fileSystem: FileSystem,
  {
    bytes = imageBytes[fileSystem],
    flags = [],
  }: { bytes?: number; flags?: readonly string[] } = {},
): Promise<void> {
  await (await open(image, 'w')).close();
  await truncate(image, bytes);
  const [maker, ...always] = makers[fileSystem];
  await run(maker!, ...always, ...flags, image);
}

/** Copies a file with its holes. */
export async function copyImage(from: string, to: string): Promise<void> {
  await run('cp', '--sparse=always', from, to);
}

/** Mounts a file through a loop device, which ends with the mount. `directory` is made. */
export async function mountLoop(
  file: string,
  directory: string,
  fileSystem: FileSystem,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  const device = await run('losetup', '--find', '--show', '--direct-io=on', file);
  try {
    const options = fileSystem === 'xfs' ? 'nouuid' : 'nodiscard';
    await run('mount', '-t', fileSystem, '-o', options, device, directory);
  } finally {
    // Of a device in use: as soon as it is not.
    await run('losetup', '--detach', device);
  }
}

/** Makes a subvolume of btrfs, as a directory; `limit`: the bytes that its quota lets it have. */
export async function makeSubvolume(path: string, limit?: number): Promise<void> {
  await run('btrfs', 'subvolume', 'create', path);
  if (limit === undefined) return;
  await run('btrfs', 'quota', 'enable', path);
  await run('btrfs', 'qgroup', 'limit', String(limit), path);
}

/** Has btrfs compress what is made in a directory from now on, which it does to copies only. */
export async function compress(directory: string): Promise<void> {
  await run('chattr', '+c', directory);
}

/** A copy that shares all its bytes, so that writing over either takes space. */
export async function copyShared(fileSystem: FileSystem, from: string, to: string): Promise<void> {
  await (fileSystem === 'btrfs'
    ? run('btrfs', 'subvolume', 'snapshot', from, to)
    : run('cp', '--recursive', '--reflink=always', from, to));
}

/** Unmounts; waits for whoever is just leaving, and does not wait for ever. */
export async function unmount(directory: string): Promise<void> {
  for (let patience = 100; patience > 0; patience--) {
    try {
      await run('umount', directory);
      return;
    } catch (error) {
      if (!String(error).includes('busy')) throw error;
      await sleep(50);
    }
  }
  await run('umount', '--lazy', directory);
}

/** What a disk of ours does from now on. */
export type DiskCommand =
  'fail writes' | 'fail flushes' | 'fail reads' | `fail reads after ${number}` | 'heal';

/** Where things of a disk of ours are. */
export interface PowerDiskOptions {
  readonly image: string;
  readonly fileSystem: FileSystem;
  /** Everything is made in here. */
  readonly directory: string;
  /** Where writes and flushes are written down; absent: nowhere. */
  readonly log?: string;
  /** A device that lies: it answers flushes and does nothing. */
  readonly dropsFlushes?: boolean;
}

/** A disk of ours with a file system mounted on it. */
export class PowerDisk {
  /** Where the file system is mounted. */
  readonly root: string;
  readonly #fuse: string;
  readonly #options: PowerDiskOptions;
  readonly #served: RunningProgram;

  private constructor(options: PowerDiskOptions, served: RunningProgram) {
    this.#options = options;
    this.#served = served;
    this.#fuse = join(options.directory, 'fuse');
    this.root = join(options.directory, 'mounted');
  }

  static async start(options: PowerDiskOptions): Promise<PowerDisk> {
    const { image, log = '-', directory, dropsFlushes = false } = options;
    const program = await campaignTool('power_disk');
    const fuse = join(directory, 'fuse');
    await mkdir(fuse, { recursive: true });
    const args = [image, log, fuse, ...(dropsFlushes ? ['--drop-flushes'] : [])];
    const served = new RunningProgram(program, args, { env: toolEnvironment() });
    if ((await served.heard(() => served.lines[0])) === undefined) {
      throw new Error(`the FUSE disk did not start: ${served.stderr}`);
    }
    const disk = new PowerDisk(options, served);
    try {
      await disk.mount();
    } catch (error) {
      await disk.#stopFuse();
      throw error;
    }
    return disk;
  }

  /** Mounts the file system (again). */
  mount(): Promise<void> {
    return mountLoop(join(this.#fuse, 'disk'), this.root, this.#options.fileSystem);
  }

  unmount(): Promise<void> {
    return unmount(this.root);
  }

  async tell(command: DiskCommand): Promise<void> {
    await writeFile(join(this.#fuse, 'control'), command);
  }

  /** How many of each came so far. */
  async counts(): Promise<{ writes: number; flushes: number; reads: number }> {
    const text = await readFile(join(this.#fuse, 'control'), 'latin1');
    const [, writes, flushes, reads] = /writes (\d+) flushes (\d+) reads (\d+)/.exec(text)!;
    return { writes: Number(writes), flushes: Number(flushes), reads: Number(reads) };
  }

  /** Unmounts everything. */
  async stop(): Promise<void> {
    await this.unmount();
    await this.#stopFuse();
  }

  async #stopFuse(): Promise<void> {
    await unmount(this.#fuse);
    await this.#served.ended;
  }
}
