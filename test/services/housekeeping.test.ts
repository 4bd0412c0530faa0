// The store's housekeeping in the running service: closed segments shrink, snapshots appear, people
// see both, and after kill -9 everything is there.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Database } from '#espora/index.js';
import { until } from '#espora/lab/until.js';
import { balance, credit } from '../helpers/http.js';
import { readTransactions } from '../helpers/inspect.js';
import { runEspora, startEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const segmentBytes = 2 ** 20;

interface Report {
  readonly ok: boolean;
  readonly denseSegments: number;
  readonly snapshots: number;
  readonly records: number;
  readonly diskBytes: number;
}

test.serial(
  'segments are rewritten, snapshots are made, a killed service has it all',
  async (t) => {
    const directory = temporaryDirectory(t);
    const data = join(directory, 'data');
    const start = (): ReturnType<typeof startEspora> =>
      startEspora(t, ['database', '--json', '--host', '127.0.0.1', '--port', '0'], {
        environment: { ESPORA_DATA: data, ESPORA_SEGMENT_BYTES: String(segmentBytes) },
      });
    const first = start();
    const { port } = (await first.event('ready')) as unknown as { port: number };
    // One by one each takes a block: 254 fill a segment, beside its header and the block kept for a seal.
    const transactions = 540;
    for (let i = 0; i < transactions; i++) {
      t.is((await credit({ port }, 1 + (i % 5), 10)).status, 200);
    }
    const names = (): string[] => readdirSync(data).sort();
    const sizeOf = (name: string): number => statSync(join(data, name)).size;
    await until('both closed segments are small and have a snapshot', () => {
      const found = names();
      return (
        ['00000001.seg', '00000002.seg'].every((name) => sizeOf(name) < 254 * 96 + 2 * 4096) &&
        found.filter((name) => /^SNAP-\d+$/.test(name)).length === 2
      );
    });

    // Beside the running service.
    const verified = await runEspora(t, ['verify', '--json', '--data', data]);
    const report = JSON.parse(verified.stdout) as Report;
    t.is(verified.exitCode, 0);
    t.true(report.ok);
    t.true(report.denseSegments >= 2);
    t.is(report.snapshots, 2);
    t.true(report.diskBytes < 2 * segmentBytes);
    const inspected = await runEspora(t, ['inspect', '--no-records', '--data', data]);
    // A busy machine may store fewer in a segment: a pause of 100 ms between two transactions leaves a seal,
    // which takes a block as well.
    const lastOf = (segment: number): number => {
      const line = `^segment {2}number ${segment}, .*dense true, last seq (\\d+), `;
      return Number(new RegExp(line, 'm').exec(inspected.stdout)?.[1]);
    };
    const last = lastOf(1);
    t.true(last > 100 && last <= 254, String(last));
    for (const line of [
      `^snapshot {2}seq ${lastOf(2)}, segment 2, state bytes `,
      `^ {2}dense {2}segment 1, block 1, .*first seq 1, records ${last}, `,
    ]) {
      t.regex(inspected.stdout, new RegExp(line, 'm'));
    }

    t.is((await first.stop('SIGKILL')).signal, 'SIGKILL');
    const second = start();
    const again = (await second.event('ready')) as unknown as { port: number; records: number };
    for (let account = 1; account <= 5; account++) {
      t.is(await balance({ port: again.port }, account), (10 * transactions) / 5);
    }
    t.is((await second.stop()).exitCode, 0);
    const stored = await readTransactions(data);
    t.deepEqual(
      stored.map(({ seq }) => seq),
      Array.from({ length: transactions }, (_, i) => i + 1),
    );
    t.true(stored.every(({ account, valor }, i) => account === 1 + (i % 5) && valor === 10));
  },
);

test.serial('what it did is counted, also when nothing else happens', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const database = new Database({ data, host: '127.0.0.1', port: 0, segmentBytes });
  const { port } = await database.start();
  for (let i = 0; i < 260; i++) t.is((await credit({ port: port! }, 1, 1)).status, 200);
  await until('the counters tell of it', () => {
    const stats = database.stats();
    return stats?.segmentsRewritten === 1 && stats.snapshots === 1;
  });
  const stats = database.stats()!;
  t.true(stats.rewriteSavedBytes > segmentBytes / 2);
  t.is(stats.rewriteFailures + stats.segmentsDamaged + stats.snapshotFailures, 0);
  await database.stop();
});
