// Control groups: found in what the kernel says of either version, read, and made. Version 2 is tried
// on files of the same names in a folder; version 1 on the machine itself where it is there.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import {
  commandInside,
  directoriesOf,
  findHierarchies,
  LimitedGroups,
  readUsage,
} from '#espora/lab/control-groups.js';
import type { GroupDirectories } from '#espora/lab/control-groups.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const v1 = [
  '30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755',
  '31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct',
  '32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory',
  '33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
].join('\n');
const v2 = '30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate';

test('version 1: controllers where they are mounted, also beside a version 2 without them', (t) => {
  const cpu = { path: '/sys/fs/cgroup/cpu,cpuacct', root: '/' };
  t.deepEqual(findHierarchies(v1), {
    version: 1,
    cpu,
    cpuacct: cpu,
    memory: { path: '/sys/fs/cgroup/memory', root: '/' },
  });
});

test('version 2: one tree for all', (t) => {
  const unified = { path: '/sys/fs/cgroup', root: '/' };
  t.deepEqual(findHierarchies(v2), { version: 2, unified });
});

test('neither is mounted', (t) => {
  t.is(findHierarchies('24 1 8:1 / / rw - ext4 /dev/root rw'), undefined);
  t.is(findHierarchies(''), undefined);
});

test("a process's group in version 1 and 2, and below a mount that shows only a part", (t) => {
  const both = '12:cpu,cpuacct:/docker/abc\n4:memory:/docker/def\n0::/\n';
  t.deepEqual(directoriesOf(findHierarchies(v1)!, both), {
    version: 1,
    cpu: '/sys/fs/cgroup/cpu,cpuacct/docker/abc',
    cpuacct: '/sys/fs/cgroup/cpu,cpuacct/docker/abc',
    memory: '/sys/fs/cgroup/memory/docker/def',
  });
  t.deepEqual(directoriesOf(findHierarchies(v2)!, '0::/system.slice/docker-abc.scope\n'), {
    version: 2,
    unified: '/sys/fs/cgroup/system.slice/docker-abc.scope',
  });
  const inside = v2.replace('0:26 / ', '0:26 /outer ');
  t.deepEqual(directoriesOf(findHierarchies(inside)!, '0::/outer/inner\n'), {
    version: 2,
    unified: '/sys/fs/cgroup/inner',
  });
  t.is(directoriesOf(findHierarchies(v1)!, '4:memory:/x\n'), undefined);
});

test('version 2 is read: time in microseconds, memory without what the cache would give up', (t) => {
  const unified = temporaryDirectory(t);
  writeFileSync(
    join(unified, 'cpu.stat'),
    'usage_usec 2500000\nuser_usec 1\nsystem_usec 2\nnr_periods 40\nnr_throttled 3\nthrottled_usec 70000\n',
  );
  writeFileSync(join(unified, 'memory.current'), '1000000\n');
  writeFileSync(join(unified, 'memory.stat'), 'anon 5\ninactive_file 400000\n');
  t.deepEqual(readUsage({ version: 2, unified }), {
    cpuSeconds: 2.5,
    periods: 40,
    throttledPeriods: 3,
    throttledSeconds: 0.07,
    memoryBytes: 600_000,
  });
});

test('version 1 is read: time in nanoseconds, of three files', (t) => {
  const folder = temporaryDirectory(t);
  const group: GroupDirectories = { version: 1, cpu: folder, cpuacct: folder, memory: folder };
  writeFileSync(
    join(folder, 'cpu.stat'),
    'nr_periods 10\nnr_throttled 2\nthrottled_time 5000000\n',
  );
  writeFileSync(join(folder, 'cpuacct.usage'), '1500000000\n');
  writeFileSync(join(folder, 'memory.usage_in_bytes'), '300\n');
  writeFileSync(join(folder, 'memory.stat'), 'cache 1\ntotal_inactive_file 400\n');
  t.deepEqual(readUsage(group), {
    cpuSeconds: 1.5,
    periods: 10,
    throttledPeriods: 2,
    throttledSeconds: 0.005,
    memoryBytes: 0,
  });
  t.throws(() => readUsage({ ...group, cpu: join(folder, 'gone') }), { code: 'ENOENT' });
});

test('version 2 is written: controllers handed down, a share of each tenth of a second', (t) => {
  const path = temporaryDirectory(t);
  const groups = new LimitedGroups({ version: 2, unified: { path, root: '/' } }, 'ours');
  const group = groups.make('api-1', { cpus: 0.2, memoryMegabytes: 100 });
  t.deepEqual(group, { version: 2, unified: join(path, 'ours/api-1') });
  const read = (...parts: string[]): string => readFileSync(join(path, ...parts), 'utf8');
  t.is(read('cgroup.subtree_control'), '+cpu +memory');
  t.is(read('ours', 'cgroup.subtree_control'), '+cpu +memory');
  t.is(read('ours', 'api-1', 'cpu.max'), '20000 100000');
  t.is(read('ours', 'api-1', 'memory.max'), String(100 * 2 ** 20));
});

test('where nothing can be written it says so in one sentence', (t) => {
  const path = join(temporaryDirectory(t), 'missing');
  const file = join(path, '..', 'file');
  writeFileSync(file, '');
  const groups = new LimitedGroups({ version: 2, unified: { path: file, root: '/' } }, 'ours');
  const error = t.throws(() => groups.make('x', { cpus: 1, memoryMegabytes: 1 }));
  t.is((error as { code?: string }).code, 'ERR_ESPORA_UNSUPPORTED');
  t.regex(error.message, /control groups with limits cannot be made here \(ENOTDIR at .*root/);
});

test('a command enters its group before it runs', (t) => {
  const folder = temporaryDirectory(t);
  const group: GroupDirectories = {
    version: 1,
    cpu: join(folder, 'cpu'),
    cpuacct: join(folder, 'cpu'),
    memory: join(folder, 'memory'),
  };
  mkdirSync(group.cpu);
  mkdirSync(group.memory);
  const command = commandInside(group, '/bin/echo', ['two words', '$HOME', "it's"]);
  t.is(
    execFileSync(command.file, command.arguments, { encoding: 'utf8' }),
    "two words $HOME it's\n",
  );
  for (const part of ['cpu', 'memory']) {
    t.is(readFileSync(join(folder, part, 'cgroup.procs'), 'utf8'), '0\n');
  }
});

const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
const missing =
  process.getuid!() !== 0
    ? 'making control groups needs root'
    : findHierarchies(mounts)?.version !== 1 || !existsSync('/sys/fs/cgroup/cpu')
      ? 'this machine has no control groups of version 1'
      : undefined;
if (missing !== undefined) process.stderr.write(`contest/control-groups: skipped: ${missing}\n`);
const real = missing === undefined ? test : test.skip;

real(
  'for real: what runs inside is held to its share and counted, and the groups go away',
  async (t) => {
    const groups = LimitedGroups.here(`espora-test-${process.pid}`);
    t.teardown(() => groups.remove());
    const group = groups.make('one', { cpus: 0.1, memoryMegabytes: 64 });
    const busy = 'const end = performance.now() + 600; while (performance.now() < end);';
    const command = commandInside(group, process.execPath, ['-e', busy]);
    execFileSync(command.file, command.arguments);
    const { cpuSeconds, throttledPeriods, periods, memoryBytes } = readUsage(group);
    t.true(cpuSeconds > 0);
    t.true(throttledPeriods > 0 && throttledPeriods <= periods);
    t.true(memoryBytes < 64 * 2 ** 20);
    await groups.remove();
    t.false(existsSync((group as { cpu: string }).cpu));
  },
);
