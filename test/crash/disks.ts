// Small file systems for tests: some that can be filled, and one on a disk that fails on demand.
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  makeImage,
  mountLoop,
  mountsMissing,
  PowerDisk,
  powerDiskMissing,
  unmount,
} from '../campaigns/mounts.js';
import type { FileSystem } from '../campaigns/mounts.js';
import { DatabaseLife } from '../campaigns/lives.js';
import { toolsMissing } from '../campaigns/tools.js';

const imageBytes = 32 * 1024 * 1024;

type SerialTest = typeof test.serial | typeof test.serial.skip;

function unless(missing: string | undefined, file: string): SerialTest {
  if (missing === undefined) return test.serial;
  process.stderr.write(`${file}: skipped: ${missing}\n`);
  return test.serial.skip;
}

/** `test.serial`, or its `skip` after a line with the reason. */
export function whereMountsWork(file: string, fileSystem: FileSystem = 'ext4'): SerialTest {
  return unless(mountsMissing(fileSystem), file);
}

/** The same for tests with a failing disk. */
export function whereFuseWorks(file: string): SerialTest {
  return unless(powerDiskMissing(), file);
}

/** The same for tests with a native program of test/native/campaigns/ or bench/, which CMake builds. */
export function whereToolsBuild(file: string): SerialTest {
  return unless(toolsMissing(), file);
}

async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'espora-disk-'));
  try {
    await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A small mounted file system that only the test writes to. */
export interface SmallDisk {
  readonly root: string;
  /** A directory for sockets, on another file system. */
  readonly directory: string;
  /** Fills all free space with files in its root or in another directory. */
  readonly fill: (directory?: string) => Promise<void>;
  /** Frees that space. */
  readonly free: () => Promise<void>;
}

/** Runs `work` with a small disk. */
export function onSmallDisk(
  work: (disk: SmallDisk) => Promise<void>,
  fileSystem: FileSystem = 'ext4',
): Promise<void> {
  return inDirectory(async (directory) => {
    const image = join(directory, 'image');
    const root = join(directory, 'mounted');
    await makeImage(image, fileSystem, fileSystem === 'ext4' ? { bytes: imageBytes } : {});
    await mountLoop(image, root, fileSystem);
    let filler = '';
    try {
      await work({
        root,
        directory,
        fill: (where = root) => fill((filler = join(where, 'filler'))),
        free: () => rm(filler),
      });
    } finally {
      await DatabaseLife.killAll();
      await unmount(root);
    }
  });
}

async function fill(filler: string): Promise<void> {
  const file = await open(filler, 'a');
  try {
    for (let size = 1024 * 1024; size >= 4096;) {
      try {
        await file.write(Buffer.alloc(size, 1));
        await file.datasync();
      } catch (error) {
        // Node.js has no name for the latter.
        const { errno } = error as NodeJS.ErrnoException;
        if (errno !== -constants.errno.ENOSPC && errno !== -constants.errno.EDQUOT) throw error;
        size /= 2;
      }
    }
  } finally {
    await file.close();
  }
}

/** Runs `work` with a disk that fails on demand, and a directory for sockets. */
export function onFailingDisk(
  t: ExecutionContext,
  work: (disk: PowerDisk, directory: string) => Promise<void>,
): Promise<void> {
  return inDirectory(async (directory) => {
    const image = join(directory, 'image');
    // Without a journal an error affects only its call: the file system works again when the disk does.
    const flags = ['-O', '^has_journal'];
    await makeImage(image, 'ext4', { bytes: imageBytes, flags });
    const disk = await PowerDisk.start({ image, fileSystem: 'ext4', directory });
    try {
      await work(disk, directory);
    } finally {
      await disk.tell('heal');
      await DatabaseLife.killAll();
      t.log(JSON.stringify(await disk.counts()));
      await disk.stop();
    }
  });
}
