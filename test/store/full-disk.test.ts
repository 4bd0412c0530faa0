// The library on a file system that is really full: a refusal is definite, reads go on, and appends
// too once there is space.
import { join } from 'node:path';
import { openStore } from '#espora/index.js';
import type { EsporaError } from '#espora/index.js';
import { until } from '#espora/lab/until.js';
import { onSmallDisk, whereMountsWork } from '../crash/disks.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const mounted = whereMountsWork('store/full-disk.test.ts');

mounted('a full disk: appends are refused and change nothing, and go on with space', async (t) => {
  await onSmallDisk(async ({ root, fill, free }) => {
    const directory = join(root, 'store');
    const store = await openStore(directory, { segmentBytes: 1 << 20 });
    const record = Buffer.alloc(200_000, 'x');
    let kept = 0;
    const append = async (): Promise<EsporaError | undefined> => {
      try {
        const { seq } = await store.append(record);
        kept += 1;
        t.is(seq, kept);
        return undefined;
      } catch (error) {
        return error as EsporaError;
      }
    };
    try {
      t.is(await append(), undefined);
      await fill();
      let refused: EsporaError | undefined;
      // Segments that were prepared before are used up first.
      for (let i = 0; i < 200 && refused === undefined; i++) refused = await append();
      t.like(refused, { code: 'ERR_ESPORA_NO_SPACE', definite: true });
      t.like(await append(), { code: 'ERR_ESPORA_NO_SPACE', definite: true });
      t.is(store.durableSeq, kept);
      const seqs = [];
      for await (const { seq } of store.read()) seqs.push(seq);
      t.is(seqs.length, kept);
      t.like(await store.verify(), { ok: true, records: kept });
      await t.throwsAsync(store.backup(join(root, 'backup')), { code: 'ERR_ESPORA_NO_SPACE' });
      const elsewhere = join(temporaryDirectory(t), 'backup');
      t.like(await store.backup(elsewhere), { lastSeq: kept, records: kept });
      await store.flush();
      await free();
      await until('appends go on', async () => (await append()) === undefined);
    } finally {
      await store.close();
    }
    const again = await openStore(directory, { create: false });
    t.is(again.durableSeq, kept);
    await again.close();
  });
});
