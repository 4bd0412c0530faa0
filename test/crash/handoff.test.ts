// Topology handoff while its processes stop, go on and die under load. A client is with one process
// at a time: none is lost with a process that had not taken it, none is served twice, and once the
// database has it nothing that happens to balancer or apis concerns it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { until } from '#espora/lab/until.js';
import { EsporaStart } from '../helpers/espora.js';
import { readTransactions } from '../helpers/inspect.js';
import { halt, resume } from '../helpers/process.js';
import { RememberingLoad } from './load.js';

interface Measured {
  readonly name: string;
  readonly service?: Readonly<Record<string, number>>;
}

/** A whole under a load, and the books afterwards. */
async function underLoad(
  t: ExecutionContext,
  keepAlive: boolean,
  attack: (espora: EsporaStart, load: RememberingLoad) => Promise<void>,
): Promise<RememberingLoad> {
  const directory = await mkdtemp(join(tmpdir(), 'espora-handoff-'));
  const data = join(directory, 'data');
  const listen = ['--port', '0', '--host', '127.0.0.1', '--metrics-port', '0'];
  const espora = await EsporaStart.launch('--topology', 'handoff', ...listen, '--data', data);
  const load = new RememberingLoad(espora.port, 16, keepAlive);
  try {
    await load.progress(100);
    await attack(espora, load);
  } finally {
    // What is stopped can't end.
    for (const { pid } of espora.events) if (pid !== undefined) resume(pid);
    await load.stop();
    await espora.stop();
  }
  t.is(espora.process.exitCode, 0, espora.stderr);
  const stored = new Map<string, number>();
  for (const { descricao } of await readTransactions(data)) {
    stored.set(descricao, (stored.get(descricao) ?? 0) + 1);
  }
  const lost = load.sent.filter(
    ({ outcome, descricao }) => outcome === 'acknowledged' && !stored.has(descricao),
  );
  t.deepEqual(lost, [], 'acknowledged, and not there');
  t.deepEqual(
    [...stored].filter(([, times]) => times > 1),
    [],
    'there twice',
  );
  t.deepEqual(
    load.sent.filter(({ outcome }) => outcome === 'refused'),
    [],
  );
  await rm(directory, { recursive: true });
  return load;
}

async function statsOf(
  espora: EsporaStart,
): Promise<Map<string, Readonly<Record<string, number>>>> {
  const event = await espora.seen(({ event }) => event === 'metrics');
  const { port } = event as unknown as { port: number };
  const response = await fetch(`http://127.0.0.1:${String(port)}/stats`);
  const all = (await response.json()) as readonly Measured[];
  return new Map(all.map(({ name, service }) => [name, service ?? {}]));
}

const inDoubt = (load: RememberingLoad): number =>
  load.sent.filter(({ outcome }) => outcome === 'in doubt').length;

for (const victim of ['api 1', 'database']) {
  test.serial(`${victim} stops and goes on: its clients wait, or go elsewhere`, async (t) => {
    const load = await underLoad(t, false, async (espora, running) => {
      for (let round = 0; round < 3; round++) {
        const { pid } = espora.latest(victim);
        await halt(t, pid!);
        if (victim === 'api 1') {
          // The other one serves, and takes what this one was offered and does not answer.
          await running.progress(300);
        } else {
          await new Promise((resolve) => setTimeout(resolve, 1500));
        }
        resume(pid!);
        await running.progress(100);
      }
      await running.stop();
      // Everybody has reported everybody.
      await until('nobody is counted any more', async () => {
        const stats = await statsOf(espora);
        return [...stats.values()].every(
          (one) => (one['active'] ?? one['connectionsActive']) === 0,
        );
      });
      for (const [name, one] of await statsOf(espora)) {
        if (name !== 'database') t.is(one['accepted'], one['endedAtHolder'], name);
      }
    });
    t.is(inDoubt(load), 0, 'nobody died');
  });
}

test.serial('kill -9 of balancer and apis: clients of the database notice nothing', async (t) => {
  const load = await underLoad(t, true, async (espora, running) => {
    for (const victim of ['api 1', 'api 2', 'balancer']) {
      const from = espora.events.length;
      process.kill(espora.latest(victim).pid!, 'SIGKILL');
      await espora.seen(
        ({ event, service }) => event === 'service-ready' && service === victim,
        from,
      );
      await running.progress(100);
    }
  });
  t.is(inDoubt(load), 0, 'their connections were with the database');
});
