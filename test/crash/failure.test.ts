// Failing disks under the running database, by system-call injection: an outcome that is unknown is
// a 503 and the end of the process, a refusal for want of space is definite and the end of nothing.
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Database } from '#espora/index.js';
import { until } from '#espora/lab/until.js';
import { startProxy } from '../campaigns/lives.js';
import { RawClient } from '../conformance/raw-client.js';
import { RememberingLoad } from './load.js';
import { get, post, startTraced, wait, whereStraceWorks } from './traced-database.js';
import type { TracedDatabase } from './traced-database.js';

const traced = whereStraceWorks('failure.test.ts');

// So that the next segment is prepared, and its calls are counted, within moments.
const small = { ESPORA_SEGMENT_BYTES: String(1024 * 1024) };

async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'espora-failure-'));
  try {
    await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Balance of an account in the store that a test left behind. */
async function balanceAfterwards(directory: string, id: number): Promise<number> {
  const path = join(directory, 'after.sock');
  const database = new Database({ data: join(directory, 'data'), unixSocket: path });
  await database.start();
  const client = await RawClient.open({ path });
  client.send(get(id));
  const { body } = await client.answer();
  client.close();
  await database.stop({ drain: 0 });
  return (JSON.parse(body) as { saldo: { total: number } }).saldo.total;
}

/** Starts a database of which one kind of call fails from that of the second transaction on. */
async function startFailing(
  t: ExecutionContext,
  directory: string,
  call: string,
  error: string,
): Promise<TracedDatabase> {
  // The first call on the event thread that fails is that of the second transaction: opening,
  // the first one and its seal come before.
  const probe = await startTraced(t, directory, undefined, small);
  const before = await RawClient.open({ path: probe.path });
  before.send(post(1, 'c', 5, 'kept'));
  t.is((await before.answer()).status, 200);
  await wait(400);
  before.close();
  await probe.stop();

  // Opening makes as many calls as it needs, and after a life without a record always the same; strace
  // counts them for each thread by itself.
  await (await startTraced(t, directory, undefined, small)).stop();
  const counted = await startTraced(t, directory, undefined, small);
  const reader = await RawClient.open({ path: counted.path });
  await wait(400);
  reader.send(get(1));
  await reader.answer();
  reader.close();
  const all = await counted.stop();
  const asked = all.find(({ name, args }) => name === 'recvfrom' && args.includes('GET'))!;
  const opening = all.filter(
    ({ name, thread, end }) => name === call && thread === asked.thread && end < asked.begin,
  );
  const inject = `${call}:error=${error}:when=${opening.length + 1}+`;
  return startTraced(t, directory, inject, small);
}

for (const { call, error, outcomes } of [
  // The write failed: nothing reached the device, but nobody can know.
  { call: 'pwrite64', error: 'EIO', outcomes: [5] },
  // The flush failed: the bytes are in the page cache or on the device.
  { call: 'fdatasync', error: 'EIO', outcomes: [5, 12] },
]) {
  traced(
    `${call} fails with ${error}: 503 to all that waited, then the process ends`,
    async (t) => {
      await inDirectory(async (directory) => {
        const database = await startFailing(t, directory, call, error);
        await wait(600);
        const clients = await Promise.all(
          Array.from({ length: 3 }, () => RawClient.open({ path: database.path })),
        );
        const [changes, reads, refused] = clients as [RawClient, RawClient, RawClient];
        changes.send(post(1, 'c', 7, 'unknown'));
        reads.send(get(1));
        refused.send(post(1, 'd', 9_000_000, 'too much'));
        const first = await changes.answer();
        t.is(first.status, 503);
        t.is((JSON.parse(first.body) as { erro: string }).erro, 'armazenamento_falhou');
        t.is(first.headers.get('connection'), 'close');
        // In the turn of the transaction, and held with it, or after it, or before it and computed
        // from what was durable: never a new balance.
        for (const client of [reads, refused]) {
          const answer = await client.answer().catch(() => undefined);
          t.true(
            answer === undefined ||
              answer.status === 503 ||
              (client === refused && answer.status === 422) ||
              answer.body.includes('"total":5,'),
          );
        }
        const code = await database.ended;
        t.not(code, 0, 'ends with a failure');
        t.not(code, 3, 'a restart may help');
        t.regex(database.stderr(), new RegExp(error), 'stderr names the error');
        t.notRegex(database.stderr(), /\n +at /, 'no stack trace');
        for (const client of clients) client.close();
        const balance = await balanceAfterwards(directory, 1);
        t.true(outcomes.includes(balance), `${balance} after the restart`);
      });
    },
  );
}

// As on a file system that copies on write and is full: the batch had its place, and has no room.
traced('pwrite64 fails with ENOSPC: definite 507, reads go on, nothing is lost', async (t) => {
  await inDirectory(async (directory) => {
    const database = await startFailing(t, directory, 'pwrite64', 'ENOSPC');
    await wait(600);
    const clients = await Promise.all(
      Array.from({ length: 3 }, () => RawClient.open({ path: database.path })),
    );
    const [changes, reads, refused] = clients as [RawClient, RawClient, RawClient];
    changes.send(post(1, 'c', 7, 'refused'));
    reads.send(get(1));
    refused.send(post(1, 'd', 9_000_000, 'too much'));
    const first = await changes.answer();
    t.is(first.status, 507);
    t.is((JSON.parse(first.body) as { erro: string }).erro, 'armazenamento_cheio');
    t.is(first.headers.get('connection'), undefined, 'it goes on');
    const statement = await reads.answer();
    t.is(statement.status, 200);
    t.true(statement.body.includes('"total":5,'), statement.body);
    t.true([422, 507].includes((await refused.answer()).status));
    changes.send(Buffer.concat([post(2, 'c', 7, 'again'), get(1)]));
    t.is((await changes.answer()).status, 507);
    t.is((await changes.answer()).status, 200);
    for (const client of clients) client.close();
    await database.stop();
    t.is(await database.ended, 0, database.stderr());
    t.is(await balanceAfterwards(directory, 1), 5);
    t.is(await balanceAfterwards(directory, 2), 0);
  });
});

test.serial('a store that is damaged under the supervisor ends it with exit code 3', async (t) => {
  await inDirectory(async (directory) => {
    const data = join(directory, 'data');
    const espora = await startProxy(data);
    try {
      const load = new RememberingLoad(espora.port, 4, true);
      await load.progress(200);
      await load.stop();
      // In the first batch, behind which there are others: what it holds was durable.
      const segment = await open(join(data, '00000001.seg'), 'r+');
      const byte = Buffer.alloc(1);
      await segment.read(byte, 0, 1, 4096 + 80);
      await segment.write(Buffer.from([byte[0]! ^ 1]), 0, 1, 4096 + 80);
      await segment.sync();
      await segment.close();
      process.kill(espora.latest('database').pid!, 'SIGKILL');
      await until('the supervisor has ended', () => espora.process.exitCode !== null);
      t.is(espora.process.exitCode, 3, espora.stderr);
      t.regex(espora.stderr, /segment 1, block 1/, 'it says where');
      const crashes = espora.events.filter(({ event }) => event === 'service-crashed');
      t.is(crashes.length, 1, 'the kill, and no restart after what it found');
    } finally {
      await espora.stop();
    }
  });
});

traced('no space for a next segment: definite 507, reads go on, nothing is lost', async (t) => {
  await inDirectory(async (directory) => {
    // Opening allocates the first segment and the reserve, and each thread counts for itself: spares find no
    // space from the third on.
    const database = await startTraced(t, directory, 'fallocate:error=ENOSPC:when=3+', small);
    const client = await RawClient.open({ path: database.path });
    let accepted = 0;
    let refusal: { status: number; body: string } | undefined;
    // One by one each takes a block: 1 MiB holds fewer than 256.
    for (let i = 0; i < 1200 && refusal === undefined; i++) {
      client.send(post(3, 'c', 1, 'one'));
      const answer = await client.answer();
      if (answer.status === 200) accepted++;
      else refusal = answer;
    }
    t.is(refusal?.status, 507);
    t.is((JSON.parse(refusal!.body) as { erro: string }).erro, 'armazenamento_cheio');
    t.true(accepted > 100, `${accepted} accepted`);
    for (let i = 0; i < 3; i++) {
      client.send(post(3, 'c', 1, 'one'));
      t.is((await client.answer()).status, 507, 'still full, and the connection is kept');
    }
    client.send(post(3, 'd', 9_000_000, 'too much'));
    t.is((await client.answer()).status, 422, 'a refusal needs no space');
    client.send(get(3));
    t.true((await client.answer()).body.includes(`"total":${accepted},`), 'reads go on');
    client.close();
    await database.stop();
    t.is(await database.ended, 0, 'it lives until it is stopped');
    t.is(await balanceAfterwards(directory, 3), accepted);
  });
});
