// A server that is wrong in one way for each check of the test: each must make it fail, for that
// reason and no other.
import test from 'ava';
import type { FaultCode } from '#espora/contest/checks.js';
import type { Plan } from '#espora/contest/plan.js';
import type { FailureGroup } from '#espora/contest/tally.js';
import { load, playOn, short, validations } from './plans.js';
import { referenceServer } from './reference-server.js';
import type { Answer, Call, Misbehaviour, ReferenceOptions } from './reference-server.js';

const bursts = {
  debits: '25 debits at once',
  balanceAfterDebits: 'balance is -25',
  credits: '25 credits at once',
  balanceAfterCredits: 'balance is 0',
};
const sessions = 'statements and bad requests';

/** What must be found, in the order in which it is: everything that is. */
interface Found {
  readonly phase: string;
  readonly code: FaultCode;
  readonly message: RegExp;
  readonly count?: number;
  readonly request?: RegExp;
  readonly inconsistent?: boolean;
}

interface Wrong extends ReferenceOptions {
  readonly found: readonly Found[];
  readonly requestTimeoutMs?: number;
}

const accounts = 5;

/** Changes the members of an answer's JSON. */
function change(answer: Answer, members: Readonly<Record<string, unknown>>): Answer {
  return { status: answer.status, json: { ...(answer.json as object), ...members } };
}

/** Changes the members of a statement's `saldo`. */
function changeSaldo(answer: Answer, members: Readonly<Record<string, unknown>>): Answer {
  const { saldo } = answer.json as { saldo: object };
  return change(answer, { saldo: { ...saldo, ...members } });
}

function changeListed(answer: Answer, to: (listed: object[]) => unknown): Answer {
  const { ultimas_transacoes: listed } = answer.json as { ultimas_transacoes: object[] };
  return change(answer, { ultimas_transacoes: to(listed) });
}

type When = (call: Call) => boolean;

/** An answer hook that acts on some calls only. */
function on(when: When, misbehave: (answer: Answer, call: Call) => Misbehaviour) {
  return (call: Call, answer: Answer): Misbehaviour | undefined =>
    when(call) ? misbehave(answer, call) : undefined;
}

const transaction =
  (description: string, type = ''): When =>
  ({ kind, description: given, body }) =>
    kind === 'transaction' && given === description && body.includes(`"tipo": "${type}`);
/** The first statements are asked before the test, to see whether the service is there and fresh. */
const firstStatement: When = ({ kind, client, transactions, nth }) =>
  kind === 'statement' &&
  (client === 1 ? transactions === 50 && nth === 2 : transactions === 0 && nth === 2);
const statementAfter =
  (description: string): When =>
  ({ kind, description: newest }) =>
    kind === 'statement' && newest === description;
const balanceAfter =
  (transactions: number): When =>
  ({ kind, client, transactions: accepted, nth }) =>
    kind === 'statement' && client === 1 && accepted === transactions && nth === 1;

const broken: Answer = { status: 500, json: { erro: 'broken' } };
const unprocessable: Answer = { status: 422, json: { erro: 'refused' } };
const okHead = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n';

const wrongValidations: Record<string, Wrong> = {
  'refuses one of the debits at once': {
    answer: (() => {
      let seen = 0;
      return on(
        (call) => transaction('validacao', 'd')(call) && ++seen === 7,
        () => unprocessable,
      );
    })(),
    found: [
      { phase: bursts.debits, code: 'status', message: /status 422 instead of 200/, count: 1 },
    ],
  },
  'fails one of the debits at once': {
    answer: (() => {
      let seen = 0;
      return on(
        (call) => transaction('validacao', 'd')(call) && ++seen === 25,
        () => broken,
      );
    })(),
    found: [
      {
        phase: bursts.debits,
        code: 'status',
        message: /status 500 instead of 200: \{"erro":"broken"\}/,
        count: 1,
        request: /^POST \/clientes\/1\/transacoes \{"valor": 1, "tipo": "d"/,
      },
    ],
  },
  'answers a debit with a balance below the limit': {
    answer: (() => {
      let seen = 0;
      return on(
        (call) => transaction('validacao', 'd')(call) && ++seen === 1,
        (answer) => change(answer, { saldo: -100_001 }),
      );
    })(),
    found: [
      {
        phase: bursts.debits,
        code: 'below-limit',
        message: /saldo is -100001, below the limit of -100000/,
        count: 1,
        inconsistent: true,
      },
    ],
  },
  'loses one of the debits at once': {
    // And of the credits, so that the balance is right again later.
    enter: (() => {
      const seen = { c: 0, d: 0 };
      return ({ description, body }) =>
        description === 'validacao' && ++seen[body.includes('"c"') ? 'c' : 'd'] === 3 ? 0 : 1;
    })(),
    found: [
      {
        phase: bursts.balanceAfterDebits,
        code: 'saldo',
        message: /total is -24 instead of -25/,
        count: 1,
        inconsistent: true,
        request: /^GET \/clientes\/1\/extrato$/,
      },
    ],
  },
  'shows the balance after the debits as text': {
    answer: on(balanceAfter(25), (answer) => changeSaldo(answer, { total: '-25' })),
    found: [
      { phase: bursts.balanceAfterDebits, code: 'shape', message: /total is "-25"/, count: 1 },
    ],
  },
  'has no statement after the debits': {
    answer: on(balanceAfter(25), () => broken),
    found: [{ phase: bursts.balanceAfterDebits, code: 'status', message: /500/, count: 1 }],
  },
  'refuses the credits at once': {
    answer: (() => {
      let seen = 0;
      return on(
        (call) => transaction('validacao', 'c')(call) && ++seen <= 3,
        () => unprocessable,
      );
    })(),
    found: [
      { phase: bursts.credits, code: 'status', message: /status 422 instead of 200/, count: 3 },
    ],
  },
  'shows another balance after the credits': {
    answer: on(balanceAfter(50), (answer) => changeSaldo(answer, { total: 1 })),
    found: [
      {
        phase: bursts.balanceAfterCredits,
        code: 'saldo',
        message: /total is 1 instead of 0/,
        count: 1,
        inconsistent: true,
      },
    ],
  },
  'has another limit for client 3': {
    answer: on(
      (call) => firstStatement(call) && call.client === 3,
      (answer) => changeSaldo(answer, { limite: 10_000_000 }),
    ),
    found: [
      {
        phase: sessions,
        code: 'limite',
        message: /limite is 10000000 instead of 1000000/,
        count: 1,
      },
    ],
  },
  'shows a limit that is no number': {
    answer: on(firstStatement, (answer) => changeSaldo(answer, { limite: null })),
    found: [{ phase: sessions, code: 'shape', message: /limite is null/, count: accounts }],
  },
  'shows another total at first': {
    answer: on(firstStatement, (answer) => changeSaldo(answer, { total: 5 })),
    found: [
      {
        phase: sessions,
        code: 'saldo',
        message: /total is 5 instead of 0/,
        count: accounts,
        inconsistent: true,
      },
    ],
  },
  'shows a balance below the limit': {
    answer: on(firstStatement, (answer) => changeSaldo(answer, { total: -10_000_001 })),
    found: [
      {
        phase: sessions,
        code: 'below-limit',
        message: /total is -10000001, below the limit of -/,
        count: accounts,
        inconsistent: true,
      },
    ],
  },
  'has no statement at first': {
    answer: on(firstStatement, () => ({ status: 404, json: {} })),
    found: [
      { phase: sessions, code: 'status', message: /status 404 instead of 200/, count: accounts },
    ],
  },
  'shows a statement without saldo': {
    answer: on(firstStatement, (answer) => change(answer, { saldo: undefined })),
    found: [{ phase: sessions, code: 'shape', message: /saldo is missing/, count: accounts }],
  },
  'shows a statement without transactions': {
    answer: on(firstStatement, (answer) => change(answer, { ultimas_transacoes: undefined })),
    found: [
      {
        phase: sessions,
        code: 'shape',
        message: /ultimas_transacoes is missing/,
        count: accounts,
      },
    ],
  },
  'answers with a list': {
    answer: on(firstStatement, (answer) => ({ status: 200, json: [answer.json] })),
    found: [{ phase: sessions, code: 'shape', message: /not an object/, count: accounts }],
  },
  'answers with what looks like a verdict of ours': {
    answer: on(firstStatement, () => ({
      status: 200,
      json: { code: 'saldo', message: 'x', inconsistent: true, fault: undefined },
    })),
    found: [{ phase: sessions, code: 'shape', message: /saldo is missing/, count: accounts }],
  },
  'refuses the first credit': {
    answer: on(transaction('toma'), () => unprocessable),
    // It was entered all the same: the balance is one more than the answers say.
    found: [
      { phase: sessions, code: 'status', message: /422 instead of 200/, count: accounts },
      { phase: sessions, code: 'saldo', message: /is 0 instead of -1/, inconsistent: true },
    ],
  },
  'answers the first credit with another balance': {
    answer: on(transaction('toma'), (answer) => change(answer, { saldo: 2 })),
    found: [
      {
        phase: sessions,
        code: 'saldo',
        message: /saldo is 2 instead of 1/,
        count: accounts,
        request: /"toma"/,
        inconsistent: true,
      },
    ],
  },
  'answers the first credit without a balance': {
    answer: on(transaction('toma'), (answer) => change(answer, { saldo: undefined })),
    found: [{ phase: sessions, code: 'shape', message: /saldo is missing/, count: accounts }],
  },
  'answers the first credit with a fraction': {
    answer: on(transaction('toma'), (answer) => change(answer, { saldo: 1.5 })),
    found: [{ phase: sessions, code: 'shape', message: /saldo is 1.5/, count: accounts }],
  },
  'answers the first credit with another limit': {
    answer: on(transaction('toma'), (answer) => change(answer, { limite: 1 })),
    found: [{ phase: sessions, code: 'limite', message: /limite is 1 instead/, count: accounts }],
  },
  'fails the debit': {
    answer: on(transaction('devolve', 'd'), (answer, { body }) =>
      body.includes('1.2') ? answer : broken,
    ),
    found: [{ phase: sessions, code: 'status', message: /500 instead of 200/, count: accounts }],
  },
  'answers the debit with another balance': {
    answer: on(
      (call) => transaction('devolve', 'd')(call) && !call.body.includes('1.2'),
      (answer) => change(answer, { saldo: 1 }),
    ),
    found: [
      {
        phase: sessions,
        code: 'saldo',
        message: /saldo is 1 instead of 0/,
        count: accounts,
        inconsistent: true,
      },
    ],
  },
  'lists the oldest transaction first': {
    answer: on(statementAfter('devolve'), (answer) =>
      changeListed(answer, (listed) => listed.slice(0, 2).reverse()),
    ),
    found: [
      {
        phase: sessions,
        code: 'transactions',
        message:
          /ultimas_transacoes\[0\] is \{"valor":1,"tipo":"c","descricao":"toma".* instead of 1 d "devolve"/,
        count: accounts,
      },
    ],
  },
  'lists the newest transaction only': {
    answer: on(statementAfter('devolve'), (answer) =>
      changeListed(answer, (listed) => listed.slice(0, 1)),
    ),
    found: [
      {
        phase: sessions,
        code: 'transactions',
        message: /\[1\] is missing instead of 1 c "toma"/,
        count: accounts,
      },
    ],
  },
  'lists another value': {
    answer: on(statementAfter('devolve'), (answer) =>
      changeListed(answer, ([first, ...rest]) => [{ ...first, valor: 2 }, ...rest]),
    ),
    found: [
      { phase: sessions, code: 'transactions', message: /\[0\] is \{"valor":2/, count: accounts },
    ],
  },
  'lists another type': {
    answer: on(statementAfter('devolve'), (answer) =>
      changeListed(answer, ([first, second]) => [first, { ...second, tipo: 'd' }]),
    ),
    found: [
      { phase: sessions, code: 'transactions', message: /\[1\] is .*"tipo":"d"/, count: accounts },
    ],
  },
  'lists another description': {
    answer: on(statementAfter('devolve'), (answer) =>
      changeListed(answer, ([first, second]) => [first, { ...second, descricao: 'TOMA' }]),
    ),
    found: [{ phase: sessions, code: 'transactions', message: /"TOMA"/, count: accounts }],
  },
  'lists more than ten': {
    answer: on(
      (call) => statementAfter('devolve')(call) && call.client === 2,
      (answer) =>
        changeListed(answer, (listed) => [...listed, ...new Array<object>(10).fill(listed[0]!)]),
    ),
    found: [{ phase: sessions, code: 'transactions', message: /lists 12/, count: 1 }],
  },
  'lists nothing where a list must be': {
    answer: on(statementAfter('devolve'), (answer) => changeListed(answer, () => ({}))),
    found: [
      { phase: sessions, code: 'shape', message: /ultimas_transacoes is \{\}/, count: accounts },
    ],
  },
  'refuses the second credit': {
    answer: on(transaction('danada'), () => ({ status: 429, json: {} })),
    // Again it was entered, so each of the four statements shows one too many.
    found: [
      { phase: sessions, code: 'status', message: /429 instead of 200/, count: accounts },
      { phase: sessions, code: 'saldo', message: /total is 1 instead of 0/, inconsistent: true },
    ],
  },
  'does not show the credit that was just answered, in one of four statements': {
    answer: on(
      (call) => statementAfter('danada')(call) && call.nth === 3,
      (answer) => changeListed(answer, (listed) => listed.slice(1)),
    ),
    found: [
      {
        phase: sessions,
        code: 'transactions',
        message: /\[0\] is .*"devolve".* instead of 1 c "danada"/,
        count: accounts,
      },
    ],
  },
  'shows the credit that was just answered as the second': {
    answer: on(
      (call) => statementAfter('danada')(call) && call.nth === 1,
      (answer) => changeListed(answer, ([first, second, ...rest]) => [second, first, ...rest]),
    ),
    found: [
      {
        phase: sessions,
        code: 'transactions',
        message: /instead of 1 c "danada"/,
        count: accounts,
      },
    ],
  },
  'shows the balance before the credit in one of four statements': {
    answer: on(
      (call) => statementAfter('danada')(call) && call.nth === 2,
      (answer) => changeSaldo(answer, { total: 0 }),
    ),
    found: [
      {
        phase: sessions,
        code: 'saldo',
        message: /total is 0 instead of 1/,
        count: accounts,
        inconsistent: true,
      },
    ],
  },
  'shows another limit in one of four statements': {
    answer: on(
      (call) => statementAfter('danada')(call) && call.nth === 4,
      (answer) => changeSaldo(answer, { limite: 0 }),
    ),
    found: [{ phase: sessions, code: 'limite', message: /limite is 0 instead/, count: accounts }],
  },
  'fails one of four statements': {
    answer: on(
      (call) => statementAfter('danada')(call) && call.nth === 4,
      () => broken,
    ),
    found: [{ phase: sessions, code: 'status', message: /500/, count: accounts }],
  },
  'knows client 6': {
    answer: on(
      ({ client }) => client === 6,
      () => ({ status: 200, json: { saldo: { total: 0, limite: 0 }, ultimas_transacoes: [] } }),
    ),
    found: [
      {
        phase: sessions,
        code: 'status',
        message: /status 200 instead of 404/,
        count: 1,
        request: /^GET \/clientes\/6\/extrato$/,
      },
    ],
  },
  'fails over client 6': {
    answer: on(
      ({ client }) => client === 6,
      () => broken,
    ),
    found: [{ phase: sessions, code: 'status', message: /500 instead of 404/, count: 1 }],
  },
};

for (const [what, text] of [
  ['a fraction', '"valor": 1.2'],
  ['an unknown type', '"tipo": "x"'],
  ['a description of 26 characters', '123456789 e mais'],
  ['an empty description', '"descricao": ""'],
  ['a null description', '"descricao": null'],
] as const) {
  const phase = sessions;
  const bad: When = ({ body }) => body.includes(text);
  wrongValidations[`accepts ${what}`] = {
    answer: on(bad, () => ({ status: 200, json: { limite: 1, saldo: 1 } })),
    found: [
      { phase, code: 'status', message: /status 200 instead of 422 or 400/, count: accounts },
    ],
  };
  wrongValidations[`accepts and enters ${what}`] = {
    accept: (body) => body.includes(text),
    found: [
      { phase, code: 'status', message: /status 200 instead of 422 or 400/, count: accounts },
    ],
  };
  wrongValidations[`fails over ${what}`] = {
    answer: on(bad, () => broken),
    found: [
      { phase, code: 'status', message: /status 500 instead of 422 or 400/, count: accounts },
    ],
  };
}

const only =
  (nth: number, when: When): When =>
  (call) =>
    when(call) && --nth === 0;
const debit: When = ({ load: inLoad, body }) => inLoad && body.includes('"d"');
const credit: When = ({ load: inLoad, body }) => inLoad && body.includes('"c"');
const transactionOfLoad: When = (call) => debit(call) || credit(call);
const statementOfLoad: When = ({ kind, load: inLoad }) => kind === 'statement' && inLoad;

const wrongLoads: Readonly<Record<string, Wrong>> = {
  'fails a debit': {
    answer: on(only(3, debit), () => broken),
    found: [{ phase: 'load', code: 'status', message: /500 instead of 200 or 422/, count: 1 }],
  },
  'does not know the client of a debit': {
    answer: on(only(3, debit), () => ({ status: 404, json: {} })),
    found: [{ phase: 'load', code: 'status', message: /404 instead of 200 or 422/, count: 1 }],
  },
  'answers a debit with a balance below the limit': {
    answer: on(only(3, debit), (answer) => change(answer, { saldo: -10_000_001 })),
    found: [{ phase: 'load', code: 'below-limit', message: /saldo/, count: 1, inconsistent: true }],
  },
  'answers a debit with another limit': {
    answer: on(only(3, debit), (answer) => change(answer, { limite: 99_999_999_999 })),
    found: [{ phase: 'load', code: 'limite', message: /limite is 99999999999/, count: 1 }],
  },
  'answers a debit without a balance': {
    answer: on(only(3, debit), () => ({ status: 200, json: {} })),
    found: [{ phase: 'load', code: 'shape', message: /limite is missing/, count: 1 }],
  },
  'refuses a credit': {
    answer: on(only(3, credit), () => unprocessable),
    found: [
      {
        phase: 'load',
        code: 'status',
        message: /422 instead of 200/,
        count: 1,
        request: /"tipo": "c"/,
      },
    ],
  },
  'answers a credit with a balance below the limit': {
    answer: on(only(2, credit), (answer) => change(answer, { saldo: -10_000_001 })),
    found: [{ phase: 'load', code: 'below-limit', message: /saldo/, count: 1, inconsistent: true }],
  },
  'fails a statement': {
    answer: on(only(2, statementOfLoad), () => broken),
    found: [{ phase: 'load', code: 'status', message: /500 instead of 200/, count: 1 }],
  },
  'shows a balance below the limit in a statement': {
    answer: on(only(2, statementOfLoad), (answer) => changeSaldo(answer, { total: -10_000_001 })),
    found: [{ phase: 'load', code: 'below-limit', message: /total/, count: 1, inconsistent: true }],
  },
  'shows a statement without its total': {
    answer: on(only(2, statementOfLoad), (answer) => changeSaldo(answer, { total: undefined })),
    found: [{ phase: 'load', code: 'shape', message: /total is missing/, count: 1 }],
  },
  'answers with half a JSON': {
    answer: on(only(2, transactionOfLoad), () => ({
      raw: `${okHead}Content-Length: 10\r\n\r\n{"limite":`,
    })),
    found: [{ phase: 'load', code: 'malformed', message: /not JSON: \{"limite":/, count: 1 }],
  },
  'answers with what is not HTTP': {
    answer: on(only(2, transactionOfLoad), () => ({ raw: 'OK\r\n\r\n', then: 'end' })),
    found: [{ phase: 'load', code: 'malformed', message: /it starts with "OK"/, count: 1 }],
  },
  'says that the body is shorter than it is': {
    answer: on(only(2, transactionOfLoad), () => ({
      raw: `${okHead}Content-Length: 25\r\n\r\n{"limite":100000,"saldo":0}`,
    })),
    found: [{ phase: 'load', code: 'excess', message: /2 bytes follow the answer/, count: 1 }],
  },
  'says that the body is longer than it is, and closes': {
    answer: on(only(2, transactionOfLoad), () => ({
      raw: `${okHead}Content-Length: 28\r\n\r\n{"limite":100000,"saldo":0}`,
      then: 'end',
    })),
    found: [
      {
        phase: 'load',
        code: 'closed',
        message: /ended after 27 of 28 bytes of the body/,
        count: 1,
      },
    ],
  },
  'says that the body is longer than it is, and waits': {
    requestTimeoutMs: 4000,
    answer: on(only(2, transactionOfLoad), () => ({
      raw: `${okHead}Content-Length: 28\r\n\r\n{"limite":100000,"saldo":0}`,
    })),
    found: [
      {
        phase: 'load',
        code: 'timeout',
        message: /no complete answer within 4 s \(after 27 of 28 bytes of the body\)/,
      },
    ],
  },
  'never answers': {
    requestTimeoutMs: 4000,
    answer: on(only(2, transactionOfLoad), () => ({ raw: '' })),
    found: [
      {
        phase: 'load',
        code: 'timeout',
        message: /no complete answer within 4 s \(before an answer\)/,
      },
    ],
  },
  'closes instead of answering': {
    answer: on(only(2, transactionOfLoad), () => ({ raw: '', then: 'end' })),
    found: [{ phase: 'load', code: 'closed', message: /ended before an answer/, count: 1 }],
  },
  'resets the connection': {
    answer: on(only(2, transactionOfLoad), () => ({ raw: '', then: 'reset' })),
    found: [{ phase: 'load', code: 'reset', message: /reset before an answer/, count: 1 }],
  },
  'resets the connection inside the answer': {
    answer: on(only(2, transactionOfLoad), () => ({
      raw: `${okHead}Content-Length: 28\r\n\r\n{"limite":`,
      then: 'end',
    })),
    found: [{ phase: 'load', code: 'closed', message: /after 10 of 28 bytes/, count: 1 }],
  },
};

function foundIn(groups: readonly FailureGroup[]): readonly string[] {
  return groups.map(({ phase, code }) => `${phase}: ${code}`);
}

function inconsistenciesOf(groups: readonly FailureGroup[]): number {
  return groups.reduce((sum, { inconsistent, count }) => sum + (inconsistent ? count : 0), 0);
}

/** Plays `plan` on a server that is wrong and compares all that was found. */
function wrongServer(title: string, plan: Plan, wrong: Wrong): void {
  const { found, requestTimeoutMs, ...options } = wrong;
  test(title, async (t) => {
    const { port } = await referenceServer(t, options);
    const result = await playOn(
      port,
      plan,
      requestTimeoutMs === undefined ? {} : { requestTimeoutMs },
    );
    t.is(result.outcome, 'failed');
    t.is(result.requests, result.plannedRequests);
    const all = foundIn(result.failureGroups);
    t.deepEqual(
      // On a busy machine an answer of another operation may take that long too.
      requestTimeoutMs === undefined ? all : [...new Set(all)],
      found.map(({ phase, code }) => `${phase}: ${code}`),
      JSON.stringify(result.failureGroups),
    );
    for (const [index, { message, count, request, inconsistent = false }] of found.entries()) {
      const group = result.failureGroups[index]!;
      const messages = result.failureGroups.map((each) => each.message);
      t.regex(requestTimeoutMs === undefined ? group.message : messages.join('\n'), message);
      if (request !== undefined) t.regex(group.request, request);
      if (count !== undefined) t.is(group.count, count);
      t.is(group.inconsistent, inconsistent);
    }
    t.is(
      result.failures,
      result.failureGroups.reduce((sum, { count }) => sum + count, 0),
    );
    t.is(result.inconsistencies, inconsistenciesOf(result.failureGroups));
    t.is(result.prize.inconsistencyFineUsd, Math.round(result.inconsistencies * 80_301) / 100);
  });
}

for (const [title, wrong] of Object.entries(wrongValidations)) {
  wrongServer(`validations: ${title}`, validations, wrong);
}

for (const [title, wrong] of Object.entries(wrongLoads)) {
  wrongServer(`load: ${title}`, load, wrong);
}

test('load: lets balances fall below the limit', async (t) => {
  const accounts = [1, 2, 3, 4, 5].map((id) => ({ id, limit: 5000 }));
  const plan = { ...load, accounts };
  const right = await playOn((await referenceServer(t, { accounts })).port, plan);
  t.is(right.outcome, 'passed', JSON.stringify(right.failureGroups));
  const { port } = await referenceServer(t, { accounts, unlimited: true });
  const result = await playOn(port, plan);
  t.is(result.outcome, 'failed');
  t.deepEqual(new Set(foundIn(result.failureGroups)), new Set(['load: below-limit']));
  t.is(result.inconsistencies, result.failures);
  t.true(result.prize.usd < 100_000);
});

for (const [what, times] of [
  ['loses a transaction', 0],
  ['enters a transaction twice', 2],
] as const) {
  test(`load: ${what} that it answers right`, async (t) => {
    const second = only(2, (call) => transactionOfLoad(call) && call.client === 4);
    const { port } = await referenceServer(t, { enter: (call) => (second(call) ? times : 1) });
    const result = await playOn(port, load);
    // No answer shows it: only the balance afterwards does.
    t.is(result.failures, 0);
    t.is(result.outcome, 'failed');
    t.deepEqual(
      result.audit.filter(({ problem }) => problem !== undefined).map(({ client }) => client),
      [4],
    );
    t.regex(result.audit[3]!.problem!, /total is -?\d+, but what was acknowledged adds up to/);
  });
}

for (const happens of [true, false]) {
  const did = happens ? 'happened' : 'did not happen';
  test(`an unanswered transaction that ${did} is no inconsistency`, async (t) => {
    const second = only(2, transactionOfLoad);
    let resets = false;
    const { port } = await referenceServer(t, {
      enter: (call) => {
        resets = second(call);
        return resets && !happens ? 0 : 1;
      },
      answer: ({ kind }) =>
        kind === 'transaction' && resets ? { raw: '', then: 'reset' } : undefined,
    });
    const result = await playOn(port, load);
    t.deepEqual(foundIn(result.failureGroups), ['load: reset']);
    t.is(result.failures, 1);
    t.deepEqual(
      result.audit.filter(({ problem }) => problem !== undefined),
      [],
    );
    t.is(result.audit.filter(({ least, most }) => least !== most).length, 1);
  });
}

test('answers slower than 250 ms are right, but cost a part of the prize', async (t) => {
  const { port } = await referenceServer(t, {
    answer: on(transactionOfLoad, () => ({ delayMs: 260 })),
  });
  const result = await playOn(port, short);
  t.is(result.outcome, 'passed');
  t.is(result.failures, 0);
  const slow = result.operations.debit.requests + result.operations.credit.requests;
  t.is(result.operations.debit.fast + result.operations.credit.fast, 0);
  t.true(result.operations.debit.latencyMs.p50 >= 260);
  t.true(result.fastPercent <= 100 - (100 * slow) / result.requests);
  t.is(result.prize.slowFineUsd, Math.round((98 - result.fastPercent) * 100_000) / 100);
  t.is(result.prize.usd, Math.round((100_000 - result.prize.slowFineUsd) * 100) / 100);
});
