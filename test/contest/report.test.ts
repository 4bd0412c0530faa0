import { PassThrough } from 'node:stream';
import test from 'ava';
import { createProgress, progressLine } from '#espora/contest/progress.js';
import {
  colours,
  duration,
  headLine,
  noColours,
  percent,
  reportText,
  usd,
} from '#espora/contest/report.js';
import { prizeOf } from '#espora/contest/score.js';
import { playOn, short } from './plans.js';
import { referenceServer } from './reference-server.js';

const escape = '\u001b[';

test('money, times and shares', (t) => {
  t.is(usd(100_000), 'USD 100,000.00');
  t.is(usd(-1234.5), '-USD 1,234.50');
  t.is(duration(31_400), '31 s');
  t.is(duration(240_600), '4 min 1 s');
  t.is(percent(100), '100.00 %');
  // All but one of 61,503 is not all.
  t.is(percent((100 * 61_502) / 61_503), '99.99 %');
});

test('the head says what is played', (t) => {
  t.is(
    headLine('http://127.0.0.1:9999', 'full', 61_503, 5),
    'espora contest: 61,503 requests (full) to http://127.0.0.1:9999, seed 5',
  );
});

test('a good run: every figure, no failure, the whole prize', async (t) => {
  const result = await playOn((await referenceServer(t)).port, short);
  const report = reportText({ ...result, fastPercent: 100 }, noColours);
  for (const line of [
    /operation|requests\s+failures\s+p50 ms\s+p75\s+p95\s+p99\s+max/,
    /validations\s+123\s+0\s/,
    /debits\s+\d+\s+0\s/,
    /credits\s+\d+\s+0\s/,
    /statements\s+\d+\s+0\s/,
    /all\s+\d+\s+0\s/,
    /25 debits at once\s+25 requests in \d+ ms: ok/,
    /requests\s+(\d+) of \1 in \d+ s/,
    /failures\s+0\n/,
    /under 250 ms\s+100.00 %/,
    /inconsistencies\s+0\n/,
    /balances after\s+5 of 5 accounts add up/,
    /player\s+cpu \d+ % of a core, lateness p50 [\d.]+ p99 [\d.]+ ms/,
    /would be\s+USD [\d,]+\.\d\d( \(fines: .*\))?, if the plan short were the whole test/,
    /machine\s+\d+ × .*, [\d.]+ GiB, Linux /,
    /played by\s+espora \d+\.\d+\.\d+(, commit [0-9a-f]{12}( with changes)?)?, Node\.js v/,
  ]) {
    t.regex(report, line);
  }
  t.notRegex(report, /What failed/);
  t.false(report.includes(escape));
  t.true(reportText(result, colours).includes(escape));
});

test('what a service says controls no terminal and forges no line', async (t) => {
  const result = await playOn((await referenceServer(t)).port, short);
  const said = 'a\u001b[2J\nespora contest: passed';
  const group = {
    phase: 'load',
    operation: 'debit',
    code: 'status',
    count: 1,
    request: 'GET /',
    inconsistent: false,
  } as const;
  const report = reportText(
    {
      ...result,
      failureGroups: [{ ...group, message: said }],
      audit: result.audit.map((each) => ({ ...each, problem: said })),
    },
    colours,
  );
  t.is(report.split(String.raw`a\u001b[2J\u000aespora contest: passed`).length, 7, report);
  t.false(report.includes(said.slice(1, 5)));
});

test('a bad run: the first of each kind of failure, with its request', async (t) => {
  const { port } = await referenceServer(t, {
    answer: ({ client, nth, description, kind }, answer) => {
      if (client === 6) return { status: 200, json: {} };
      if (description === 'toma') return { status: 200, json: { limite: 1, saldo: 1 } };
      const { saldo } = answer.json as { saldo: object };
      return kind === 'statement' && description === 'danada' && nth === 1
        ? {
            status: 200,
            json: { ...(answer.json as object), saldo: { ...saldo, total: -999_999_999 } },
          }
        : undefined;
    },
  });
  const report = reportText(await playOn(port, short), noColours);
  t.regex(report, /What failed \(the first of each kind\)/);
  t.regex(
    report,
    /1 × statements and bad requests \(status\)\n\s+GET \/clientes\/6\/extrato\n\s+status 200/,
  );
  t.regex(
    report,
    /\(limite\)\n\s+POST \/clientes\/\d\/transacoes \{"valor": 1, .*\n\s+limite is 1 instead/,
  );
  t.regex(report, /5 × .* \(below-limit, inconsistent\)/);
  t.regex(report, /inconsistencies\s+5\n/);
  t.regex(report, /would be\s+USD [\d,.]+ \(fines: .*USD 4,015.05 for inconsistencies\)/);
});

test('more kinds of failures than fit are counted', async (t) => {
  const result = await playOn((await referenceServer(t)).port, short);
  const group = {
    phase: 'load',
    operation: 'debit',
    code: 'status',
    inconsistent: false,
    count: 1,
    request: 'GET /',
    message: 'x',
  } as const;
  const report = reportText({ ...result, failureGroups: new Array(11).fill(group) }, noColours);
  t.regex(report, /and 3 more kinds/);
});

test('only the whole test has the prize of the contest', async (t) => {
  const result = await playOn((await referenceServer(t)).port, short);
  const whole = reportText({ ...result, plan: 'full', prize: prizeOf(100, 0) }, noColours);
  t.regex(whole, /^ {2}prize\s+USD [\d,.]+$/m);
  t.notRegex(whole, /whole test|would be/);
  t.notRegex(reportText({ ...result, plan: 'quick' }, noColours), /^ {2}prize /m);
});

test('one request is one', async (t) => {
  const result = await playOn((await referenceServer(t)).port, short);
  const [phase] = result.phases;
  const report = reportText({ ...result, phases: [{ ...phase!, requests: 1 }] }, noColours);
  t.regex(report, / 1 request in /);
});

test('a run that was stopped has no prize', async (t) => {
  const { port } = await referenceServer(t);
  const result = await playOn(port, short, { signal: AbortSignal.abort() });
  const report = reportText(result, noColours);
  t.regex(report, /requests\s+0 of \d+/);
  t.regex(report, /prize\s+none: the run was stopped/);
});

test('a player that was late says so', async (t) => {
  const result = await playOn((await referenceServer(t)).port, short);
  const late = { ...result.player, latenessMs: { ...result.player.latenessMs, p99: 2.5 } };
  t.regex(reportText({ ...result, player: late }, noColours), /The player itself was late/);
  const prompt = { ...late, latenessMs: { ...late.latenessMs, p99: 0.3 } };
  t.notRegex(reportText({ ...result, player: prompt }, noColours), /The player itself was late/);
});

const progress = {
  phase: 'load',
  elapsedMs: 100_000,
  planned: 61_503,
  answered: 12_345,
  failures: 1,
  connections: 3,
};

test('the progress line', (t) => {
  t.is(progressLine(progress), 'load: 12,345 of 61,503 requests, 1 failure, 1 min 40 s');
});

test('off a terminal: a line each ten seconds, and nothing that moves', (t) => {
  const stream = new PassThrough();
  const view = createProgress(stream);
  for (let elapsedMs = 0; elapsedMs <= 30_000; elapsedMs += 250)
    view.show({ ...progress, elapsedMs });
  view.end();
  const lines = String(stream.read()).trimEnd().split('\n');
  t.deepEqual(
    lines.map((line) => line.split(', ').at(-1)),
    ['10 s', '20 s', '30 s'],
  );
  t.false(lines.join('').includes(escape));
});

test('on a terminal: one line in place, taken away at the end', (t) => {
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 120 });
  const view = createProgress(stream);
  view.end();
  view.show(progress);
  view.show({ ...progress, answered: 61_503 });
  view.end();
  const written = String(stream.read());
  t.true(written.includes('61,503 of 61,503 requests'));
  t.false(written.includes('\n'));
});
