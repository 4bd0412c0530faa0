// Every case of the fixture against the database, each on a fresh store; and through an api and the
// balancer, one after the other: status, headers, body, the statements afterwards, and what becomes of
// the connection.
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Api, Balancer, Database } from '#espora/index.js';
import { loadCases, ModelAccounts } from './cases.js';
import type { HttpCase } from './cases.js';
import { checkAccounts, playCase, playRequests } from './checks.js';

const cases = loadCases();
const directory = await mkdtemp(join(tmpdir(), 'espora-cases-'));
test.after.always(() => rm(directory, { recursive: true, force: true }));

test('the fixture holds what it should', (t) => {
  t.is(cases.length, 130);
  t.is(new Set(cases.map(({ name }) => name)).size, cases.length, 'names are unique');
});

let stores = 0;
async function freshDatabase(unixSocket: string): Promise<Database> {
  const database = new Database({
    data: join(directory, `data-${++stores}`),
    unixSocket,
    segmentBytes: 1024 * 1024,
  });
  await database.start();
  return database;
}

test.serial('every case against the database itself', async (t) => {
  const path = join(directory, 'direct.sock');
  for (const one of cases) {
    const database = await freshDatabase(path);
    try {
      await playCase(t, { path }, one, new ModelAccounts());
    } finally {
      await database.stop({ drain: 0 });
    }
  }
});

// How the balancer forwards, and how the apis do.
const hops = [
  ['relay', 'relay'],
  ['handoff', 'handoff'],
  ['handoff', 'relay'],
  ['relay', 'handoff'],
] as const;

for (const [hop, apiHop] of hops)
  test.serial(
    `every case through an api (${apiHop}), and through the balancer (${hop})`,
    async (t) => {
      const db = join(directory, `db-${hop}-${apiHop}.sock`);
      const apis = [1, 2].map((n) => join(directory, `api-${hop}-${apiHop}-${n}.sock`));
      const services = [
        ...apis.map((unixSocket) => new Api({ unixSocket, db, mode: apiHop })),
        new Balancer({ host: '127.0.0.1', port: 0, upstreams: apis, mode: hop }),
      ];
      const started = await Promise.all(services.map((service) => service.start()));
      const port = started.at(-1)!.port!;
      try {
        for (const where of [{ path: apis[0]! }, { host: '127.0.0.1', port }]) {
          const database = await freshDatabase(db);
          const accounts = new ModelAccounts();
          try {
            for (const one of cases) await playCase(t, where, one, accounts);
          } finally {
            await database.stop({ drain: 0 });
          }
        }
      } finally {
        await Promise.all(services.map((service) => service.stop({ drain: 0 })));
      }
    },
  );

interface CutSetting {
  readonly path: string;
  readonly database: Database;
  readonly one: HttpCase;
  readonly accounts: ModelAccounts;
}

/** Plays a case cut at every byte, and says how many cuts that were. */
async function playCuts(
  t: ExecutionContext,
  { path, database, one, accounts }: CutSetting,
): Promise<number> {
  const bytesIn = (): number => database.stats()?.['bytesIn'] ?? 0;
  const { length } = one.request;
  let cuts = 0;
  for (let cut = 1; cut < length; cut++) {
    // The three that test size limits are kilobytes of one letter: their ends are what matters.
    if (cut > 300 && length - cut > 40) continue;
    cuts++;
    await playRequests(t, { path }, one, accounts, async (client, request) => {
      const before = bytesIn();
      client.send(request.subarray(0, cut));
      // The server has read the first piece before it is sent the second, unless it has refused
      // the request already and reads no more.
      while (bytesIn() < before + cut && client.unread.length === 0) await sleep(1);
      client.send(request.subarray(cut));
    });
  }
  // Once for all its cuts: what one of them changes beside the model stays changed, and another cut
  // of the same request would not take it back but do it again.
  await checkAccounts(t, { path }, `${one.name}, cut`, accounts);
  return cuts;
}

test.serial('a case cut at every byte arrives in pieces and changes nothing', async (t) => {
  let cuts = 0;
  const left = [...cases];
  // Several databases, each with one connection at a time: its bytes are that connection's.
  const lane = async (index: number): Promise<void> => {
    const path = join(directory, `cuts-${index}.sock`);
    const database = await freshDatabase(path);
    const accounts = new ModelAccounts();
    try {
      for (let one = left.shift(); one !== undefined; one = left.shift()) {
        const played = await playCuts(t, { path, database, one, accounts });
        cuts += played;
      }
    } finally {
      await database.stop({ drain: 0 });
    }
  };
  await Promise.all([1, 2, 3, 4].map(lane));
  t.true(cuts > 15_000, `${cuts} cuts`);
});
