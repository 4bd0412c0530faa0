// The comparison of what clients were told with what lies in a store: what is right passes, and each thing
// that can be wrong is found.
import test from 'ava';
import { compare, History } from './history.js';
import type { Demands, Outcome, Sent, Stored } from './history.js';

interface Case {
  readonly history: History;
  readonly stored: Stored[];
}

function sent(history: History, connection: number, outcome: Outcome, change: Partial<Sent>): Sent {
  const at = BigInt(history.sent.length * 10);
  const one: Sent = {
    ...{ id: 1, tipo: 'c', valor: 10, descricao: history.description(), connection },
    ...{ sentNs: at, answeredNs: at + 5n, outcome },
    ...change,
  };
  history.sent.push(one);
  return one;
}

function storedAs({ id, tipo, valor, descricao }: Sent, seq: number, saldo: number): Stored {
  return { seq, account: id, tipo, valor, descricao, saldo, realizadaEmUs: 1000 + seq };
}

/** Three acknowledged, one refused, one in doubt that is there and one that is not. */
function right(): Case {
  const history = new History();
  const a = sent(history, 1, 'acknowledged', { saldo: 10 });
  const b = sent(history, 1, 'acknowledged', { tipo: 'd', valor: 4, saldo: 6 });
  sent(history, 1, 'refused', { tipo: 'd', valor: 1_000_000, status: 422 });
  const c = sent(history, 2, 'in doubt', { id: 2 });
  sent(history, 2, 'in doubt', { id: 2 });
  const d = sent(history, 3, 'acknowledged', { saldo: 16 });
  history.statements.push(
    { id: 1, total: 6, descriptions: [b.descricao, a.descricao], answeredNs: 30n },
    { id: 3, total: 0, descriptions: [], answeredNs: 31n },
  );
  const stored = [storedAs(a, 1, 10), storedAs(b, 2, 6), storedAs(c, 3, 10), storedAs(d, 4, 16)];
  return { history, stored };
}

test('what agrees has no findings', (t) => {
  const { history, stored } = right();
  t.deepEqual(compare(history, stored, { earlier: stored.slice(0, 2) }), []);
});

const wrong: readonly (readonly [string, (of: Case) => Demands | void, RegExp])[] = [
  [
    'an acknowledged one is missing',
    ({ stored }) => void stored.pop(),
    /t5 was acknowledged and is not/,
  ],
  [
    'one is there twice',
    ({ stored }) => void stored.push({ ...stored[3]!, seq: 5, saldo: 26 }),
    /t5 \(seq 5\) is there twice/,
  ],
  [
    'one was invented',
    ({ stored }) => void stored.push({ ...stored[3]!, seq: 5, saldo: 26, descricao: 'no' }),
    /no \(seq 5\) was never sent/,
  ],
  [
    'one was changed',
    ({ stored }) => void (stored[3] = { ...stored[3]!, valor: 11, saldo: 17 }),
    /t5 \(seq 4\) differs/,
  ],
  [
    'one is of another account',
    ({ stored }) => void (stored[2] = { ...stored[2]!, account: 3 }),
    /t3 \(seq 3\) differs/,
  ],
  [
    'a refused one is there',
    ({ history, stored }) =>
      void stored.push(storedAs({ ...history.sent[2]!, valor: 1_000_000 }, 5, -999_984)),
    /t2 \(seq 5\) was refused \(422\) and is there/,
  ],
  [
    'a balance is wrong',
    ({ stored }) => void (stored[2] = { ...stored[2]!, saldo: 11 }),
    /balance 11, should be 10/,
  ],
  [
    'a limit is broken',
    ({ history, stored }) => {
      const one = sent(history, 4, 'in doubt', { tipo: 'd', valor: 200_000 });
      stored.push(storedAs(one, 5, -199_984));
    },
    /breaks the limit/,
  ],
  [
    'the client was told another balance',
    ({ history }) => void (history.sent[5]!.saldo = 17),
    /balance 16, the client was told 17/,
  ],
  [
    'a sequence is missing',
    ({ stored }) => void (stored[3] = { ...stored[3]!, seq: 5 }),
    /the sequence should be 4/,
  ],
  [
    'time goes backwards',
    ({ stored }) => void (stored[3] = { ...stored[3]!, realizadaEmUs: 1 }),
    /its time is before/,
  ],
  [
    'a statement showed what is not there',
    ({ history }) =>
      void history.statements.push({ id: 2, total: 20, descriptions: ['t4'], answeredNs: 40n }),
    /t4 was shown in a statement of 2/,
  ],
  [
    'a statement showed another balance',
    ({ history }) =>
      void history.statements.push({
        id: 1,
        total: 7,
        descriptions: ['t1', 't0'],
        answeredNs: 40n,
      }),
    /a statement of 1 showed 7, behind t1 it was 6/,
  ],
  [
    'what was there earlier has changed',
    ({ stored }) => ({ earlier: [{ ...stored[0]!, realizadaEmUs: 7 }] }),
    /seq 1 was .* and is .* now/,
  ],
  [
    'what was there earlier is gone',
    ({ history, stored }) => {
      const one = sent(history, 4, 'in doubt', {});
      return { earlier: [...stored, storedAs(one, 5, 26)] };
    },
    /seq 5 was .* and is undefined now/,
  ],
  [
    'a connection was overtaken by itself',
    ({ history, stored }) => {
      const first = sent(history, 4, 'in doubt', {});
      const second = sent(history, 4, 'in doubt', {});
      stored.push(storedAs(second, 5, 26), storedAs(first, 6, 36));
    },
    /t7 \(seq 5\) is stored before what its connection sent earlier/,
  ],
  [
    'what was sent after an answer is stored before it',
    ({ history, stored }) => {
      history.sent[0] = { ...history.sent[0]!, connection: 9, sentNs: 100n, answeredNs: 101n };
      stored.length = 4;
    },
    /t0 \(seq 1\) was sent after seq 4 was answered/,
  ],
];

for (const [what, breakIt, finding] of wrong) {
  test(`found: ${what}`, (t) => {
    const broken = right();
    const demands = breakIt(broken) ?? {};
    const findings = compare(broken.history, broken.stored, demands);
    t.true(
      findings.some((each) => finding.test(each)),
      JSON.stringify(findings),
    );
  });
}

test('after a power cut only what was answered before it is owed', (t) => {
  const { history, stored } = right();
  const [first] = history.sent;
  t.deepEqual(compare(history, [], { answeredBefore: first!.answeredNs! }), []);
  t.deepEqual(
    compare(history, stored.slice(0, 1), { answeredBefore: first!.answeredNs! + 1n }),
    [],
  );
  t.regex(
    compare(history, [], { answeredBefore: first!.answeredNs! + 1n })[0]!,
    /t0 was acknowledged and is not there/,
  );
});
