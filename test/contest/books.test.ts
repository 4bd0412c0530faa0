import test from 'ava';
import { Books, outcomeOf } from '#espora/contest/books.js';
import type { Fault, FaultCode } from '#espora/contest/checks.js';
import type { Exchange, Problem } from '#espora/lab/connection.js';

function exchange(status: number, problem?: Problem): Exchange {
  return { startedAt: 0, connectedAt: 0, endedAt: 0, status, body: '', problem };
}

function failed(code: 'refused' | 'connect' | 'reset' | 'closed' | 'timeout' | 'malformed') {
  const fault: Fault = { code: code satisfies FaultCode, message: '', inconsistent: false };
  return outcomeOf(exchange(0, { code, message: '' }), fault);
}

test('accepted transactions add up', (t) => {
  const books = new Books([1, 2]);
  books.enter({ client: 1, value: 10, type: 'c', description: 'x' }, 'accepted');
  books.enter({ client: 1, value: 3, type: 'd', description: 'x' }, 'accepted');
  books.enter({ client: 1, value: 99, type: 'd', description: 'x' }, 'refused');
  t.deepEqual(books.expected(1), { least: 7, most: 7 });
  t.deepEqual(books.expected(2), { least: 0, most: 0 });
});

test('what is unknown makes a range, in its own direction', (t) => {
  const books = new Books([1]);
  books.enter({ client: 1, value: 10, type: 'c', description: 'x' }, 'unknown');
  books.enter({ client: 1, value: 3, type: 'd', description: 'x' }, 'unknown');
  t.deepEqual(books.expected(1), { least: -3, most: 10 });
});

test('a spoilt account expects nothing', (t) => {
  const books = new Books([1, 2]);
  books.spoil(1);
  t.is(books.expected(1), undefined);
  t.not(books.expected(2), undefined);
});

test('an answer tells what became of a transaction', (t) => {
  t.is(outcomeOf(exchange(200), undefined), 'accepted');
  t.is(outcomeOf(exchange(422), undefined), 'refused');
  t.is(outcomeOf(exchange(404), undefined), 'refused');
  // A wrong balance in a 200 does not undo the 200.
  t.is(outcomeOf(exchange(200), { code: 'saldo', message: '', inconsistent: true }), 'accepted');
  t.is(outcomeOf(exchange(503), { code: 'status', message: '', inconsistent: false }), 'unknown');
});

test('without an answer it may have happened, unless it was never sent', (t) => {
  for (const code of ['reset', 'closed', 'timeout', 'malformed'] as const) {
    t.is(failed(code), 'unknown', code);
  }
  for (const code of ['refused', 'connect'] as const) t.is(failed(code), 'refused', code);
});
