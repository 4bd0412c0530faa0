// A file system that is really full: what can't be kept is refused and changes nothing, reads go on, and
// when there is space again the service goes on by itself.
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '#espora/lab/until.js';
import { loadNative } from '#espora/addon.js';
import { compare, History } from '../campaigns/history.js';
import { DatabaseLife, readRecovered } from '../campaigns/lives.js';
import { Load } from '../campaigns/load.js';
import { compress, copyShared, makeSubvolume } from '../campaigns/mounts.js';
import type { FileSystem } from '../campaigns/mounts.js';
import { damageIn, readStored } from '../campaigns/store.js';
import { RawClient } from '../conformance/raw-client.js';
import { onSmallDisk, whereMountsWork } from './disks.js';
import { get, post } from './traced-database.js';

const mounted = whereMountsWork('full-disk.test.ts');

const load = { clients: 4, burstMax: 3, keepAlive: true, seed: 1 };

const count = (history: History, wanted: number): number =>
  history.sent.reduce((sum, { status }) => sum + Number(status === wanted), 0);

async function start(data: string, path: string): Promise<DatabaseLife> {
  const life = new DatabaseLife({ data, path });
  if (!(await life.ready)) throw new Error(life.stderr);
  return life;
}

// Where nothing is copied on write a batch has its room before it is taken; elsewhere, and under a quota, a
// write over what is there may find none. Whatever it is, what can't be kept is refused.
const kinds: readonly [
  name: string,
  fileSystem: FileSystem,
  kind: 'plain' | 'kept' | 'shared' | 'quota',
][] = [
  ['ext4', 'ext4', 'plain'],
  ['xfs whose store was copied with --reflink', 'xfs', 'shared'],
  ['btrfs, which keeps the segment in place, and else compresses,', 'btrfs', 'kept'],
  ['btrfs with a snapshot of the store', 'btrfs', 'shared'],
  ['a quota of btrfs with a snapshot of the store', 'btrfs', 'quota'],
];

const quotaBytes = 24 * 1024 * 1024;

for (const [name, fileSystem, kind] of kinds) {
  whereMountsWork('full-disk.test.ts', fileSystem)(
    `${name} fills up under load and is freed`,
    async (t) => {
      await onSmallDisk(async ({ root, directory, fill, free }) => {
        const data = join(root, 'data');
        if (fileSystem === 'btrfs') {
          await makeSubvolume(data, kind === 'quota' ? quotaBytes : undefined);
          if (kind === 'kept') await compress(data);
        }
        const life = await start(data, join(directory, 'db.sock'));
        const history = new History();
        let clients = new Load(life.where, history, load);
        try {
          await until('there are transactions', () => history.count('acknowledged') > 50);
          // Elsewhere nobody writes meanwhile, or the segment in use would soon be one that is not shared.
          if (kind !== 'plain') await clients.stop();
          if (kind === 'shared' || kind === 'quota')
            await copyShared(fileSystem, data, join(root, 'copy'));
          await fill(kind === 'quota' ? data : root);
          const before = history.count('acknowledged');
          if (kind !== 'plain') clients = new Load(life.where, history, { ...load, seed: 2 });
          if (kind === 'kept') {
            await until('what was reserved is there', () => {
              return history.count('acknowledged') > before + 20;
            });
          } else {
            await until('transactions are refused', () => count(history, 507) > 50);
          }
          const acknowledged = history.count('acknowledged');
          const statements = history.statements.length;
          await until('statements are answered all the same', () => {
            return history.statements.length > statements + 50;
          });
          if (kind === 'plain') {
            t.is(history.count('acknowledged'), acknowledged, 'it stays full');
          }
          t.deepEqual(await damageIn(data), []);
          await free();
          await until('it goes on', () => history.count('acknowledged') > acknowledged + 100);
        } finally {
          await clients.stop();
          t.is(await life.stop(), 0, life.stderr);
        }
        t.is(history.count('in doubt'), 0, 'every answer was definite');
        t.deepEqual(await damageIn(data), []);
        t.deepEqual(compare(history, await readRecovered(data, join(directory, 'db.sock'))), []);
      }, fileSystem);
    },
  );
}

for (const [before, stopped, reserve, fileSystem] of [
  ['a stop', true, true, 'ext4'],
  ['a kill', false, true, 'ext4'],
  ['a kill, the reserve gone', false, false, 'ext4'],
  ['a kill', false, true, 'btrfs'],
] as const) {
  const where = whereMountsWork('full-disk.test.ts', fileSystem);
  where(`a start on a full ${fileSystem} after ${before}`, async (t) => {
    await onSmallDisk(async ({ root, directory, fill, free }) => {
      const data = join(root, 'data');
      const path = join(directory, 'db.sock');
      const history = new History();
      const first = await start(data, path);
      const clients = new Load(first.where, history, load);
      await until('there are transactions', () => history.count('acknowledged') > 50);
      if (stopped) await clients.stop();
      await (stopped ? first.stop() : first.kill());
      await clients.stop(true);
      // What a start would remove first must not make room; the reserve is for just this.
      for (const name of await readdir(data)) {
        if (name.endsWith('.tmp') && !(reserve && name === 'spare-0.tmp')) {
          await rm(join(data, name));
        }
      }
      await fill();
      const { provenSeq, lastSeq } = await loadNative().verifyStore(data);
      const unproven = lastSeq > provenSeq;
      const proven = await readStored(data);
      const acknowledged = history.count('acknowledged');
      t.true(proven.length >= acknowledged, 'all that was answered is there');

      const full = await start(data, path);
      const client = await RawClient.open({ path });
      let waits = false;
      for (const id of [1, 2, 3, 4, 5]) {
        client.send(get(id));
        const { status, body } = await client.answer();
        waits = status === 503 && body.includes('"armazenamento_espera_espaco"');
        if (waits) break;
        t.is(status, 200);
        const { total } = (JSON.parse(body) as { saldo: { total: number } }).saldo;
        const newest = proven.findLast(({ account }) => account === id);
        t.is(
          total,
          newest?.saldo ?? 0,
          'what was answered is shown, and nothing that is not there',
        );
      }
      const mustWait = !reserve && unproven;
      // A file system may refuse to write over what it has given already.
      const refused = /secured without it: \S*spare-0\.tmp: (pwrite|fsync): .*\((ENOSPC|EDQUOT)\)/;
      t.true(waits === mustWait || (waits && refused.test(full.stderr)), full.stderr);
      if (mustWait) t.regex(full.stderr, /secured without it: spare-0\.tmp: open: .*\(ENOENT\)/);
      client.send(post(1, 'c', 1, 'refused'));
      t.is((await client.answer()).status, waits ? 503 : 507);
      // Nobody's account, which the image's health check asks for.
      client.send(get(0));
      t.is((await client.answer()).status, waits ? 503 : 404);
      t.deepEqual(await damageIn(data), []);
      // Beside a service that waits the tail is nobody's yet.
      const shown = waits ? proven.filter(({ seq }) => seq <= provenSeq) : proven;
      t.deepEqual(await readStored(data), shown, 'nothing was changed');
      await free();
      const again = new Load(full.where, history, { ...load, seed: 2 });
      const before = history.count('acknowledged');
      await until('it goes on', () => history.count('acknowledged') > before + 50);
      await again.stop();
      client.close();
      t.is(await full.stop(), 0, full.stderr);
      t.deepEqual(await damageIn(data), []);
      t.deepEqual(compare(history, await readRecovered(data, path), { earlier: proven }), []);
    }, fileSystem);
  });
}

mounted('a new store on a full disk: one sentence, exit code 1, and a start later', async (t) => {
  await onSmallDisk(async ({ root, directory, fill, free }) => {
    const data = join(root, 'data');
    const path = join(directory, 'db.sock');
    await fill();
    const refused = new DatabaseLife({ data, path });
    t.false(await refused.ready);
    t.is(await refused.ended, 1);
    t.regex(refused.stderr, /space|full/i);
    t.notRegex(refused.stderr, /\n +at /, 'no stack trace');
    await free();
    const life = await start(data, path);
    t.is(await life.stop(), 0, life.stderr);
    t.deepEqual(await damageIn(data), []);
  });
});
