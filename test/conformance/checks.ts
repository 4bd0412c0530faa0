// Plays one case of the fixture against one service and compares everything that can be compared.
import type { ExecutionContext } from 'ava';
import type { NetConnectOpts } from 'node:net';
import { ModelAccounts, splitRequests } from './cases.js';
import type { HttpCase, ModelTransaction } from './cases.js';
import { RawClient } from './raw-client.js';
import type { RawAnswer } from './raw-client.js';

interface Statement {
  readonly saldo: { total: number; data_extrato: string; limite: number };
  readonly ultimas_transacoes: (ModelTransaction & { realizada_em: string })[];
}

const timestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

function get(path: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
}

/** A statement of `id` must show exactly what the model holds. */
export function checkStatement(
  t: ExecutionContext,
  label: string,
  body: string,
  id: number,
  accounts: ModelAccounts,
): void {
  const statement = JSON.parse(body) as Statement;
  t.is(body, JSON.stringify(statement), `${label}: compact JSON`);
  t.is(statement.saldo.total, accounts.balance(id), `${label}: total`);
  t.is(statement.saldo.limite, ModelAccounts.limits[id - 1]!, `${label}: limit`);
  t.regex(statement.saldo.data_extrato, timestamp, `${label}: data_extrato`);
  const shown = statement.ultimas_transacoes.map(({ valor, tipo, descricao }) => ({
    valor,
    tipo,
    descricao,
  }));
  t.deepEqual(shown, accounts.last(id), `${label}: last transactions`);
  const times = statement.ultimas_transacoes.map((each) => each.realizada_em);
  for (const time of times) t.regex(time, timestamp, `${label}: realizada_em`);
  t.deepEqual(times, times.toSorted().toReversed(), `${label}: newest first`);
  t.true((times[0] ?? '') <= statement.saldo.data_extrato, `${label}: statement after the newest`);
}

function checkHeaders(t: ExecutionContext, label: string, answer: RawAnswer, toHead: boolean) {
  if (answer.status < 200) {
    t.false(answer.headers.has('content-length'), `${label}: no Content-Length on 1xx`);
    return;
  }
  t.is(answer.headers.get('content-type'), 'application/json', `${label}: Content-Type`);
  t.regex(answer.headers.get('date') ?? '', /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/, label);
  const length = Number(answer.headers.get('content-length'));
  if (toHead) {
    t.true(length > 0, `${label}: HEAD says the length`);
  } else {
    t.is(length, Buffer.byteLength(answer.body), `${label}: Content-Length`);
  }
  if (answer.status === 405) t.truthy(answer.headers.get('allow'), `${label}: Allow`);
}

function checkError(t: ExecutionContext, label: string, body: string): void {
  const error = JSON.parse(body) as Record<string, unknown>;
  t.deepEqual(Object.keys(error), ['erro', 'mensagem'], `${label}: members of an error`);
  t.regex(String(error['erro']), /^[a-z0-9_]+$/, `${label}: stable code`);
  t.is(body, JSON.stringify(error), `${label}: compact JSON`);
}

/** Splits the bytes of a request for sending; the whole by default. */
export type Send = (client: RawClient, request: Buffer) => Promise<void>;

/**
 * Sends `one` to `where` and checks statuses, headers and bodies, then that the connection is closed
 * or answers one more GET. `accounts` is what was there before, and is brought up to date.
 */
export async function playRequests(
  t: ExecutionContext,
  where: NetConnectOpts,
  one: HttpCase,
  accounts: ModelAccounts,
  send: Send = async (client, request) => client.send(request),
): Promise<void> {
  const asked = splitRequests(one.request);
  const client = await RawClient.open(where);
  try {
    await send(client, one.request);
    let final = 0;
    for (const [index, allowed] of one.status.entries()) {
      const request = asked[final];
      const label = `${one.name}, answer ${index + 1}`;
      const toHead = request?.method === 'HEAD';
      const answer = await client.answer(toHead);
      t.true(allowed.includes(answer.status), `${label}: ${answer.status}, not ${allowed.join()}`);
      checkHeaders(t, label, answer, toHead);
      if (answer.status < 200) continue;
      final++;
      if (answer.status !== 200) {
        checkError(t, label, answer.body);
        continue;
      }
      const id = Number(request!.path.split('/')[2]);
      if (request!.method === 'POST') {
        const transaction = JSON.parse(request!.body.toString()) as ModelTransaction;
        t.is(answer.body, accounts.accept(id, transaction), `${label}: body`);
      } else if (!toHead) {
        checkStatement(t, label, answer.body, id, accounts);
      }
    }
    if (one.closes) {
      await client.end();
    } else if (!one.status.some((allowed) => allowed.includes(100))) {
      client.send(get('/clientes/1/extrato'));
      const after = await client.answer();
      t.is(after.status, 200, `${one.name}: the connection is still good`);
    }
  } finally {
    client.close();
  }
}

/** Each account must hold what the model does after `after`. */
export async function checkAccounts(
  t: ExecutionContext,
  where: NetConnectOpts,
  after: string,
  accounts: ModelAccounts,
): Promise<void> {
  const reader = await RawClient.open(where);
  try {
    for (let id = 1; id <= 5; id++) {
      reader.send(get(`/clientes/${id}/extrato`));
      const { status, body } = await reader.answer();
      t.is(status, 200);
      checkStatement(t, `${after}, account ${id} afterwards`, body, id, accounts);
    }
  } finally {
    reader.close();
  }
}

/** Plays the requests of `one`, then checks the statements of all accounts. */
export async function playCase(
  t: ExecutionContext,
  where: NetConnectOpts,
  one: HttpCase,
  accounts: ModelAccounts,
): Promise<void> {
  await playRequests(t, where, one, accounts);
  await checkAccounts(t, where, one.name, accounts);
}
