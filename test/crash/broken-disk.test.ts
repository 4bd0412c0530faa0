// Disks that fail under the running service: an outcome that nobody can know is a 503 and the end of the
// process, a restart goes by what the device really holds, and a supervisor gives neither up nor the disk
// no rest.
import { join } from 'node:path';
import { until } from '#espora/lab/until.js';
import { compare, History } from '../campaigns/history.js';
import { DatabaseLife, readRecovered, startProxy } from '../campaigns/lives.js';
import { Load } from '../campaigns/load.js';
import { damageIn, readStored } from '../campaigns/store.js';
import { onFailingDisk, whereFuseWorks } from './disks.js';

const failing = whereFuseWorks('broken-disk.test.ts');

const load = { clients: 6, burstMax: 3, keepAlive: true, seed: 1 };

async function start(data: string, path: string): Promise<DatabaseLife> {
  const life = new DatabaseLife({ data, path });
  if (!(await life.ready)) throw new Error(life.stderr);
  return life;
}

for (const fault of ['fail writes', 'fail flushes'] as const) {
  failing(`${fault}: 503, the process ends, nothing acknowledged is lost`, async (t) => {
    await onFailingDisk(t, async (disk, directory) => {
      const data = join(disk.root, 'data');
      const path = join(directory, 'db.sock');
      const history = new History();
      const life = await start(data, path);
      const clients = new Load(life.where, history, load);
      await until('there are transactions', () => history.count('acknowledged') > 100);
      await disk.tell(fault);
      t.is(await life.ended, 1, 'a restart may help');
      await clients.stop(true);
      t.true(
        history.sent.some(({ status }) => status === 503),
        'whoever waited is told',
      );
      t.regex(life.stderr, /EIO|Input\/output error/);
      t.notRegex(life.stderr, /\n +at /, 'no stack trace');

      const hopeless = new DatabaseLife({ data, path });
      t.false(await hopeless.ready);
      t.is(await hopeless.ended, 1, `while the disk fails there is no start: ${hopeless.stderr}`);

      await disk.tell('heal');
      t.deepEqual(await damageIn(data), []);
      const again = await start(data, path);
      t.deepEqual(compare(history, await readStored(data)), []);
      t.is(await again.stop(), 0, again.stderr);
      t.deepEqual(await damageIn(data), []);
    });
  });
}

failing(
  'a disk that can not be read: exit code 3, nothing changed, then all is there',
  async (t) => {
    await onFailingDisk(t, async (disk, directory) => {
      const data = join(disk.root, 'data');
      const path = join(directory, 'db.sock');
      const history = new History();
      const life = await start(data, path);
      const clients = new Load(life.where, history, load);
      await until('there are transactions', () => history.count('acknowledged') > 100);
      await life.kill();
      await clients.stop(true);
      const before = await readStored(data);
      const messages: string[] = [];
      // STORE, a header, the frames: opening reads one after the other, and each read may be the first to
      // fail. How many there are depends on what the kernel still remembers of the file system.
      for (let reads = 0; ; reads++) {
        await disk.tell(`fail reads after ${reads}`);
        const opened = new DatabaseLife({ data, path });
        if (await opened.ready) {
          await opened.kill();
          break;
        }
        t.is(await opened.ended, 3, opened.stderr);
        t.regex(opened.stderr, /EIO|the device cannot read the block/);
        messages.push(opened.stderr);
        await disk.tell('heal');
        t.deepEqual(await readStored(data), before);
        t.true(reads < 50, 'it opens once all of its reads succeed');
      }
      t.regex(messages.join(''), /STORE/);
      t.regex(messages.join(''), /block \d+/);
      await disk.tell('heal');
      const again = await start(data, path);
      t.deepEqual(compare(history, await readStored(data), { earlier: before }), []);
      t.is(await again.stop(), 0, again.stderr);
    });
  },
);

failing('a disk that keeps failing under the supervisor: longer and longer waits', async (t) => {
  await onFailingDisk(t, async (disk, directory) => {
    const data = join(disk.root, 'data');
    const history = new History();
    const espora = await startProxy(data);
    const clients = new Load({ host: '127.0.0.1', port: espora.port }, history, load);
    try {
      await until('there are transactions', () => history.count('acknowledged') > 100);
      await disk.tell('fail flushes');
      const waits = (): number[] =>
        espora.events
          .filter(({ event, service }) => event === 'service-crashed' && service === 'database')
          .map((event) => (event as unknown as { restartInMs: number }).restartInMs);
      await until('it was started again and again', () => waits().length >= 5);
      t.deepEqual(waits().slice(0, 5), [100, 200, 400, 800, 1600]);
      const from = espora.events.length;
      await disk.tell('heal');
      await espora.seen(
        ({ event, service }) => event === 'service-ready' && service === 'database',
        from,
      );
      const before = history.count('acknowledged');
      await until('it goes on', () => history.count('acknowledged') > before + 50);
    } finally {
      await clients.stop();
      t.is(await espora.stop(), 0, espora.stderr);
    }
    t.deepEqual(await damageIn(data), []);
    t.deepEqual(compare(history, await readRecovered(data, join(directory, 'db.sock'))), []);
  });
});

failing(
  'a store that can not be read any more ends the supervisor, with exit code 3',
  async (t) => {
    await onFailingDisk(t, async (disk) => {
      const data = join(disk.root, 'data');
      const espora = await startProxy(data);
      await disk.tell('fail reads');
      process.kill(espora.latest('database').pid!, 'SIGKILL');
      await until('the supervisor has ended', () => espora.process.exitCode !== null);
      t.is(espora.process.exitCode, 3, espora.stderr);
      const crashes = espora.events.filter(({ event }) => event === 'service-crashed');
      t.is(crashes.length, 1, 'the kill, and no restart after what it found');
      await disk.tell('heal');
      t.deepEqual(await damageIn(data), []);
    });
  },
);
