import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';
import { auditAgain } from '#espora/contest/service.js';
import { killAndWait } from '#espora/lab/subject.js';
import { defaultAccounts } from '#espora/lab/accounts.js';
import { referenceServer } from './reference-server.js';
import type { ReferenceOptions } from './reference-server.js';

const [account] = defaultAccounts;
const expected = (balance: number) => [{ client: account!.id, least: balance, most: balance }];

test('after a kill a question that nobody answers is asked again', async (t) => {
  let questions = 0;
  const answer: ReferenceOptions['answer'] = () =>
    ++questions <= 2 ? { raw: '', then: 'reset' } : undefined;
  const { port } = await referenceServer(t, { answer });
  const target = { host: '127.0.0.1', port };
  t.deepEqual(await auditAgain(target, 'a', [account!], expected(0), 60_000), expected(0));
  t.is(questions, 3);
});

test('after a kill no answer until the end, and a wrong balance at once, are problems', async (t) => {
  const silent = await referenceServer(t, { answer: () => ({ raw: '', then: 'reset' }) });
  const target = { host: '127.0.0.1', port: silent.port };
  const [unanswered] = await auditAgain(target, 'a', [account!], expected(0), 0);
  t.regex(unanswered!.problem!, /reset/);

  let questions = 0;
  const right = await referenceServer(t, {
    answer: () => {
      questions++;
      return undefined;
    },
  });
  const other = { host: '127.0.0.1', port: right.port };
  const [wrong] = await auditAgain(other, 'a', [account!], expected(-25), 60_000);
  t.is(wrong!.problem, 'total is 0, but what was acknowledged adds up to -25');
  t.is(questions, 1);
});

test('a killed process has gone before anything else is asked', async (t) => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => 0, 1000)']);
  await once(child, 'spawn');
  const exited = once(child, 'exit');
  await killAndWait(child.pid!);
  t.throws(() => process.kill(child.pid!, 0), { code: 'ESRCH' });
  t.deepEqual(await exited, [null, 'SIGKILL']);
});
