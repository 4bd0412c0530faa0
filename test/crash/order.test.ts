// What the database does, seen from outside by a system-call trace: one write of whole blocks and
// one flush for a transaction, then the answer; and nothing that reveals a state leaves before the
// flush that makes it durable.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RawClient } from '../conformance/raw-client.js';
import type { TracedCall } from './strace.js';
import { get, post, startTraced, wait, whereStraceWorks } from './traced-database.js';

const traced = whereStraceWorks('order.test.ts');

traced('one POST: one write of whole blocks, one flush, then the answer', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'espora-order-'));
  const database = await startTraced(t, directory);
  const client = await RawClient.open({ path: database.path });
  // Well after the seal that opening may have left to do.
  await wait(400);
  client.send(post(1, 'c', 1, 'traced'));
  const { status } = await client.answer();
  t.is(status, 200);
  await wait(400);
  client.close();
  const calls = await database.stop();
  const request = calls.find(({ name, args }) => name === 'recvfrom' && args.includes('POST'))!;
  const answer = calls.find(
    ({ name, args }) => name.startsWith('send') && args.includes('200 OK'),
  )!;
  const between = calls.filter(
    ({ thread, begin, end }) =>
      thread === request.thread && begin > request.end && end < answer.begin,
  );
  const durable = between.filter(({ name }) => name !== 'recvfrom');
  t.deepEqual(
    durable.map(({ name }) => name),
    ['pwrite64', 'fdatasync'],
  );
  const [write, flush] = durable;
  const size = Number(write!.result);
  const [, asked, offset] = /, (\d+), (\d+)$/.exec(write!.args)!;
  t.is(size, Number(asked), 'written whole');
  t.is(size % 4096, 0, 'whole blocks');
  t.is(Number(offset) % 4096, 0, 'at a block');
  t.is(flush!.result, '0');
  t.is(write!.args.split(',')[0], flush!.args, 'the flush is of the file that was written');
  await rm(directory, { recursive: true });
});

traced('what reveals a state waits for its flush, what reveals none does not', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'espora-order-'));
  // Each flush takes 100 ms longer. Opening and closing pay it as well.
  const database = await startTraced(t, directory, 'fdatasync:delay_enter=100000');
  const clients = await Promise.all(
    Array.from({ length: 4 }, () => RawClient.open({ path: database.path })),
  );
  // Each was answered once, so that the database waits for all four; then it is halted while the
  // requests are sent, in this order, so that all of them are found in one turn.
  for (const client of clients) {
    client.send(get(6));
    await client.answer();
  }
  await database.halt();
  const requests = [
    post(2, 'c', 7, 'changes'),
    get(2),
    post(2, 'd', 9_000_000, 'too much'),
    get(6),
  ];
  for (const [i, client] of clients.entries()) {
    client.send(requests[i]!);
    await wait(20);
  }
  await database.resume();
  const answers = await Promise.all(clients.map((client) => client.answer()));
  t.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 422, 404],
  );
  t.regex(answers[1]!.body, /"total":7,/, 'the statement shows the new state');
  for (const client of clients) client.close();
  const calls = await database.stop();

  const sends = calls.filter(({ name }) => name.startsWith('send'));
  const sent = (text: string): TracedCall => sends.find(({ args }) => args.includes(text))!;
  const asked = calls.find(({ name, args }) => name === 'recvfrom' && args.includes('clientes/2'))!;
  const flush = calls.find(({ name, begin }) => name === 'fdatasync' && begin > asked.end)!;
  t.is(flush.result.split(' ')[0], '0');
  t.regex(flush.result, /DELAYED/);
  const answer404 = sends.find(
    ({ args, begin }) => args.includes('404 Not Found') && begin > asked.end,
  )!;
  t.true(answer404.end < flush.end, '404 does not wait');
  const answer422 = sent('422 ');
  t.true(answer422.begin > flush.end, 'the refusal waits');
  const after = sends.filter(({ begin }) => begin > flush.end);
  t.is(after.filter(({ args }) => args.includes('200 OK')).length, 2, 'credit and statement wait');
  await rm(directory, { recursive: true });
});
