// kill -9 of each process under load: the supervisor brings it back, the service answers again, and
// every acknowledged transaction is there, once. The page cache survives a kill: this proves
// recovery, not durability.
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { until } from '#espora/lab/until.js';
import { EsporaStart } from '../helpers/espora.js';
import { readTransactions } from '../helpers/inspect.js';
import { RememberingLoad } from './load.js';

// Under a sanitizer each start of the five processes takes most of a minute, and what is handed over
// is watched in handoff.test.ts.
const topologies = process.env['ESPORA_SANITIZED'] === undefined ? ['relay', 'handoff'] : ['relay'];

const clients = 16;
// The first one is of a service that the supervisor started first, the second of one that it brought back.
const kills = 2;

/** Kills a service under a load of its own, `kills` times; its descriptions begin with `prefix`. */
async function killUnderLoad(
  t: ExecutionContext,
  espora: EsporaStart,
  victim: string,
  keepAlive: boolean,
  prefix: string,
): Promise<RememberingLoad> {
  const load = new RememberingLoad(espora.port, clients, keepAlive, prefix);
  try {
    for (let round = 1; round <= kills; round++) {
      await load.progress(100);
      const { pid } = espora.latest(victim);
      const from = espora.events.length;
      process.kill(pid!, 'SIGKILL');
      const again = await espora.seen(
        ({ event, service }) => event === 'service-ready' && service === victim,
        from,
      );
      t.is(again.restarts, round, victim);
      t.not(again.pid, pid, victim);
    }
    await load.progress(100);
  } finally {
    await load.stop();
  }
  return load;
}

/** Nothing that a load was told is missing in what is stored, or there twice, or another. */
async function checkBooks(
  t: ExecutionContext,
  data: string,
  loads: ReadonlyMap<string, RememberingLoad>,
): Promise<void> {
  const stored = new Map<string, number>();
  const sent = [...loads.values()].flatMap((load) => load.sent);
  const known = new Map(sent.map((one) => [one.descricao, one]));
  for (const { account, valor, descricao } of await readTransactions(data)) {
    stored.set(descricao, (stored.get(descricao) ?? 0) + 1);
    const one = known.get(descricao);
    t.true(account === one?.id && valor === one.valor, `${descricao}: ${account}, ${valor}`);
  }
  const twice = [...stored].filter(([, times]) => times > 1);
  t.deepEqual(twice, [], 'there twice');
  for (const [victim, load] of loads) {
    const lost = load.sent.filter(
      ({ outcome, descricao }) => outcome === 'acknowledged' && !stored.has(descricao),
    );
    t.deepEqual(lost, [], `${victim}: acknowledged, and not there`);
    const refused = load.sent.filter(({ outcome }) => outcome === 'refused');
    t.deepEqual(refused, [], `${victim}: refused without a reason`);
    if (victim.startsWith('api')) {
      // The other one goes on: at each kill what is under way fails, and nothing after it.
      const inDoubt = load.sent.filter(({ outcome }) => outcome === 'in doubt');
      t.true(inDoubt.length <= clients * kills, `${victim}: ${inDoubt.length} failed`);
    }
    t.log(`${victim}: ${load.acknowledged} acknowledged, ${load.sent.length} sent`);
  }
}

for (const topology of topologies)
  for (const keepAlive of [true, false]) {
    const how = keepAlive ? 'kept connections' : 'a connection each';
    test.serial(
      `${topology}: kill -9 of each service under load, ${how}: nothing acknowledged is lost`,
      async (t) => {
        const directory = await mkdtemp(join(tmpdir(), 'espora-kill-'));
        const data = join(directory, 'data');
        const listen = ['--port', '0', '--host', '127.0.0.1'];
        const espora = await EsporaStart.launch('--topology', topology, ...listen, '--data', data);
        const loads = new Map<string, RememberingLoad>();
        try {
          for (const [index, victim] of ['database', 'api 1', 'api 2', 'balancer'].entries()) {
            const prefix = 'abcd'.charAt(index);
            loads.set(victim, await killUnderLoad(t, espora, victim, keepAlive, prefix));
          }
        } finally {
          await espora.stop();
        }
        t.is(espora.process.exitCode, 0, espora.stderr);
        await checkBooks(t, data, loads);
        await rm(directory, { recursive: true });
      },
    );
  }

test.serial('kill -9 of the supervisor: its services end, and a new one recovers', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'espora-kill-'));
  const data = join(directory, 'data');
  const args = ['--port', '0', '--host', '127.0.0.1', '--data', data];
  const first = await EsporaStart.launch(...args);
  const load = new RememberingLoad(first.port, 8, true, 'a');
  await load.progress(200);
  const pids = ['database', 'api 1', 'api 2', 'balancer'].map((name) => first.latest(name).pid!);
  first.process.kill('SIGKILL');
  await once(first.process, 'exit');
  await load.stop();
  const alive = (pid: number): boolean => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  await until('the services have ended', () => !pids.some(alive));
  const second = await EsporaStart.launch(...args);
  t.is(await second.stop(), 0, second.stderr);
  const stored = new Set((await readTransactions(data)).map(({ descricao }) => descricao));
  const lost = load.sent.filter(
    ({ outcome, descricao }) => outcome === 'acknowledged' && !stored.has(descricao),
  );
  t.deepEqual(lost, []);
  await rm(directory, { recursive: true });
});
