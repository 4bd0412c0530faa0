// The accounts of a store are its own: what --accounts says makes accounts, and never changes or
// removes one, over kill -9, snapshots, rewriting and copies.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Database } from '#espora/index.js';
import { until } from '#espora/lab/until.js';
import { balance, credit, send, statement } from '../helpers/http.js';
import type { Target } from '../helpers/http.js';
import { runEspora, startEspora } from '../helpers/program.js';
import type { Program } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

interface Running {
  readonly program: Program;
  readonly port: number;
}

/** The database of `data`, given this table of accounts, or none. */
async function start(t: ExecutionContext, data: string, accounts?: unknown): Promise<Running> {
  const given = accounts === undefined ? [] : ['--accounts', JSON.stringify(accounts)];
  const options = ['--host', '127.0.0.1', '--port', '0', '--data', data, ...given];
  const program = startEspora(t, ['database', '--json', ...options]);
  const { port } = (await program.event('ready')) as unknown as { port: number };
  return { program, port };
}

/** Warnings in the log of a program. */
function warnings({ program }: Running): readonly string[] {
  return program.stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { level: string; msg: string })
    .filter(({ level, msg }) => level === 'warn' && msg.includes('accounts'))
    .map(({ msg }) => msg);
}

function debit(target: Target, id: number, value: number): Promise<number> {
  const body = JSON.stringify({ valor: value, tipo: 'd', descricao: 'teste' });
  return send(target, 'POST', `/clientes/${String(id)}/transacoes`, body).then(
    ({ status }) => status,
  );
}

async function limit(target: Target, id: number): Promise<number | undefined> {
  const { status, body } = await statement(target, id);
  return status === 200
    ? (JSON.parse(body) as { saldo: { limite: number } }).saldo.limite
    : undefined;
}

test('a table that is forgotten once changes nothing: neither a limit nor an account', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const first = await start(t, data, [{ id: 1, limit: 100 }]);
  t.is(await debit(first, 1, 60), 200);
  t.is((await first.program.stop('SIGKILL')).signal, 'SIGKILL');
  const store = readFileSync(join(data, 'STORE'));

  const second = await start(t, data);
  t.is(await limit(second, 1), 100);
  t.is(await debit(second, 1, 90_000), 422);
  t.is(await balance(second, 1), -60);
  t.is(await limit(second, 2), undefined);
  t.deepEqual(warnings(second), []);
  await second.program.stop();
  t.deepEqual(readFileSync(join(data, 'STORE')), store);
});

test('another limit is said and left alone, a further account is made and stays', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const first = await start(t, data, [
    { id: 1, limit: 100 },
    { id: 3, limit: 5 },
  ]);
  t.is(await debit(first, 1, 60), 200);
  await first.program.stop('SIGKILL');

  // Lower, higher, new; account 3 is not named.
  const second = await start(t, data, [
    { id: 1, limit: 50 },
    { id: 9, limit: 7 },
  ]);
  t.deepEqual(
    [await limit(second, 1), await limit(second, 3), await limit(second, 9)],
    [100, 5, 7],
  );
  t.is(await debit(second, 9, 7), 200);
  t.is(await debit(second, 9, 1), 422);
  t.is(await debit(second, 1, 40), 200);
  t.deepEqual(warnings(second), [
    'the store keeps its own limits, whatever table of accounts is given: account 1 has 100 and not 50',
  ]);
  await second.program.stop('SIGKILL');

  const third = await start(t, data, [
    { id: 9, limit: 100_000 },
    { id: 1, limit: 100_000 },
  ]);
  t.deepEqual([await limit(third, 1), await limit(third, 3), await limit(third, 9)], [100, 5, 7]);
  t.deepEqual([await balance(third, 1), await balance(third, 9)], [-100, -7]);
  t.is(await debit(third, 1, 1), 422);
  t.is(warnings(third).length, 1);
  await third.program.stop();
});

test('a store without a transaction keeps its table as well', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  await (await start(t, data, [{ id: 4, limit: 0 }])).program.stop();
  const second = await start(t, data);
  t.deepEqual([await limit(second, 4), await limit(second, 1)], [0, undefined]);
  await second.program.stop();
});

test('nothing is made where that would be more accounts than are possible', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const many = Array.from({ length: 10_000 }, (_, i) => ({ id: i + 1, limit: 1 }));
  const database = new Database({ data, host: '127.0.0.1', port: 0, accounts: many });
  await database.start();
  await database.stop();
  const store = readFileSync(join(data, 'STORE'));
  const more = new Database({
    data,
    host: '127.0.0.1',
    port: 0,
    accounts: [{ id: 10_001, limit: 1 }],
  });
  await t.throwsAsync(more.start(), { code: 'ERR_ESPORA_INVALID', message: /at most 10000/ });
  t.deepEqual(readFileSync(join(data, 'STORE')), store);
  const again = new Database({
    data,
    host: '127.0.0.1',
    port: 0,
    accounts: [{ id: 10_000, limit: 2 }],
  });
  const { store: opened } = await again.start();
  t.deepEqual(
    opened.warnings.filter((text) => text.includes('limits')),
    [
      'the store keeps its own limits, whatever table of accounts is given: account 10000 has 1 and not 2',
    ],
  );
  await again.stop();
});

test('what was made later outlives snapshots, rewriting, kill -9 and copies', async (t) => {
  const directory = temporaryDirectory(t);
  const data = join(directory, 'data');
  const segmentBytes = 2 ** 20;
  const options = { data, host: '127.0.0.1', port: 0, segmentBytes };
  const first = new Database({ ...options, accounts: [{ id: 1, limit: 100 }] });
  const one = { port: (await first.start()).port! };
  t.is((await credit(one, 1, 1)).status, 200);
  await first.stop();

  // One by one each takes a block: 254 fill a segment, and account 7 is in the closed ones only.
  const second = await start(t, data, [{ id: 7, limit: 70 }]);
  for (let i = 0; i < 260; i++) t.is((await credit(second, i < 200 ? 7 : 1, 1)).status, 200);
  t.is(await debit(second, 7, 270), 200);
  await until('a segment is rewritten, and a snapshot made', () => {
    const names = readdirSync(data);
    const sizes = names
      .filter((name) => name.endsWith('.seg'))
      .map((name) => statSync(join(data, name)).size);
    return (
      names.some((name) => /^SNAP-\d+$/.test(name)) && sizes.some((size) => size < segmentBytes / 2)
    );
  });
  await second.program.stop('SIGKILL');

  const check = async (where: string): Promise<void> => {
    const running = await start(t, where);
    t.deepEqual([await limit(running, 1), await limit(running, 7)], [100, 70], where);
    t.deepEqual([await balance(running, 1), await balance(running, 7)], [61, -70], where);
    t.is(await debit(running, 7, 1), 422, where);
    t.is(await limit(running, 2), undefined, where);
    await running.program.stop('SIGKILL');
    t.is((await runEspora(t, ['verify', '--data', where])).exitCode, 0, where);
  };
  await check(data);
  for (const command of ['backup', 'repair']) {
    const copy = join(directory, command);
    t.is((await runEspora(t, [command, '--data', data, '--to', copy])).exitCode, 0);
    await check(copy);
  }
});
