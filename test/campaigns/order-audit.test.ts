// The order audit on traces that are right, and on traces that are wrong in one place each: every one of
// them must be caught.
import test from 'ava';
import { statementRequest, transactionRequest } from './http-framing.js';
import { audit } from './order-audit.js';
import type { TraceEvent } from './trace-events.js';

/** A TraceEvent before it got its place in the trace. */
type Bare = TraceEvent extends infer Event
  ? Event extends TraceEvent
    ? Omit<Event, 'begin' | 'end'>
    : never
  : never;

interface Transaction {
  readonly seq: number;
  readonly account: number;
  readonly tipo: 'c' | 'd';
  readonly valor: number;
  readonly saldo: number;
  readonly descricao: string;
}

/** A batch as the store writes it: a frame in whole blocks. */
function frame(block: number, transactions: readonly Transaction[]): Buffer {
  const records = transactions.map(({ account, tipo, valor, saldo, descricao }) => {
    const entry = Buffer.alloc(32 + Math.ceil(descricao.length / 8) * 8);
    entry.writeUInt32LE(account, 0);
    entry.write(tipo, 4, 'latin1');
    entry[5] = descricao.length;
    entry.writeBigInt64LE(BigInt(valor), 8);
    entry.writeBigInt64LE(BigInt(saldo), 16);
    entry.write(descricao, 32, 'latin1');
    const header = Buffer.alloc(8);
    header.writeUInt32LE(entry.length, 0);
    header.writeUInt16LE(1, 4);
    return Buffer.concat([header, entry]);
  });
  const payload = Buffer.concat(records);
  const bytes = Buffer.alloc(Math.ceil((64 + payload.length) / 4096) * 4096);
  bytes.write('EFRM', 0, 'latin1');
  bytes.writeUInt16LE(transactions.length === 0 ? 2 : 1, 8);
  bytes.writeUInt32LE(block, 16);
  bytes.writeBigUInt64LE(BigInt(transactions[0]?.seq ?? 0), 24);
  bytes.writeUInt32LE(payload.length, 52);
  payload.copy(bytes, 64);
  return bytes;
}

const directory = 3;
const segment = 7;
const client = 20;
const other = 21;

const write = (block: number, ...transactions: Transaction[]): Bare => {
  const bytes = frame(block, transactions);
  return { kind: 'write', fd: segment, offset: block * 4096, bytes, count: bytes.length };
};
const flush = (fd = segment, succeeded = true): Bare => ({ kind: 'flush', fd, succeeded });
const receive = (request: string, fd = client): Bare => ({
  kind: 'receive',
  fd,
  bytes: Buffer.from(request),
});
const answer = (status: number, body: unknown, fd = client): Bare => {
  const text = JSON.stringify(body);
  const head = `HTTP/1.1 ${status} X\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n`;
  return { kind: 'send', fd, bytes: Buffer.from(head + text) };
};
const post = ({ account, tipo, valor, descricao }: Omit<Transaction, 'seq' | 'saldo'>): string =>
  transactionRequest(account, tipo, valor, descricao);
const acknowledge = ({ saldo }: Transaction, fd = client): Bare =>
  answer(200, { limite: 100_000, saldo }, fd);
const statement = (total: number, listed: readonly Transaction[], fd = client): Bare =>
  answer(200, { saldo: { total }, ultimas_transacoes: listed }, fd);
const refusal = (fd = client): Bare => answer(422, { erro: 'limite_insuficiente' }, fd);

const opened: readonly Bare[] = [
  { kind: 'open', fd: directory, directory: undefined, name: 'data', creates: false },
  { kind: 'open', fd: segment, directory, name: 'spare-1.tmp', creates: true },
];
const renamed: Bare = { kind: 'rename', directory, from: 'spare-1.tmp', to: '00000001.seg' };
const store: readonly Bare[] = [
  { kind: 'open', fd: 9, directory, name: 'STORE.tmp', creates: true },
  { kind: 'rename', directory, from: 'STORE.tmp', to: 'STORE' },
  { kind: 'close', fd: 9 },
];
const accepted: readonly Bare[] = [
  { kind: 'accept', fd: client },
  { kind: 'accept', fd: other },
];
const begun: readonly Bare[] = [...opened, renamed, ...store, flush(directory), ...accepted];

/** One event after the other, none overlapping. */
function inOrder(...events: readonly Bare[]): TraceEvent[] {
  return events.map((event, index) => ({ ...event, begin: 10 * index, end: 10 * index + 5 }));
}

const one = {
  seq: 1,
  account: 1,
  tipo: 'd',
  valor: 60_000,
  saldo: -60_000,
  descricao: 'one',
} as const;
const two = { seq: 2, account: 1, tipo: 'c', valor: 5, saldo: -59_995, descricao: 'two' } as const;
const tooMuch = { account: 1, tipo: 'd', valor: 70_000, descricao: 'much' } as const;

test('what is in order has no findings, and everything is counted', (t) => {
  const events = inOrder(
    ...begun,
    receive(post(one)),
    receive(statementRequest(1) + post(tooMuch), other),
    write(1, one),
    flush(),
    acknowledge(one),
    statement(-60_000, [one], other),
    refusal(other),
    receive(post(two) + statementRequest(1)),
    write(2, two),
    flush(),
    acknowledge(two),
    statement(-59_995, [two, one]),
    write(3),
  );
  t.deepEqual(audit(events), {
    findings: [],
    answers: 5,
    acknowledged: 2,
    refusals: 1,
    statements: 2,
    refusalsThatWaited: 1,
    statementsThatWaited: 2,
    records: 2,
    flushes: 3,
    segments: 1,
  });
});

/** Each: what is wrong, the trace, and what the finding says. */
const wrong: readonly (readonly [string, readonly TraceEvent[], RegExp])[] = [
  [
    'a 200 before its flush',
    inOrder(...begun, receive(post(one)), write(1, one), acknowledge(one), flush()),
    /^one \(seq 1\): its 200 left before a flush/,
  ],
  [
    'a 200 before its write',
    inOrder(...begun, receive(post(one)), acknowledge(one), write(1, one), flush()),
    /its 200 left before it was written/,
  ],
  [
    'a 200 without a flush',
    inOrder(...begun, receive(post(one)), write(1, one), acknowledge(one)),
    /its 200 left before a flush/,
  ],
  [
    'a 200 without a write',
    inOrder(...begun, receive(post(one)), flush(), acknowledge(one)),
    /one was answered with 200 and never written/,
  ],
  [
    'a flush that failed',
    inOrder(...begun, receive(post(one)), write(1, one), flush(segment, false), acknowledge(one)),
    /its 200 left before a flush/,
  ],
  [
    'a flush of another file',
    inOrder(...begun, receive(post(one)), write(1, one), flush(directory), acknowledge(one)),
    /its 200 left before a flush/,
  ],
  [
    'a flush that began before the write had returned',
    [
      ...inOrder(...begun, receive(post(one))),
      { ...write(1, one), begin: 1000, end: 1010 },
      { ...flush(), begin: 1005, end: 1020 },
      { ...acknowledge(one), begin: 1030, end: 1031 },
    ],
    /its 200 left before a flush that began after its write had returned/,
  ],
  [
    'a 200 that leaves while the flush is still under way',
    [
      ...inOrder(...begun, receive(post(one))),
      { ...write(1, one), begin: 1000, end: 1010 },
      { ...acknowledge(one), begin: 1030, end: 1031 },
      { ...flush(), begin: 1020, end: 1040 },
    ],
    /its 200 left before a flush/,
  ],
  [
    'a segment whose name was not durable',
    inOrder(
      ...[...opened, ...store, flush(directory), ...accepted],
      ...[renamed, receive(post(one)), write(1, one), flush(), acknowledge(one)],
    ),
    /its 200 left before the name of its file was durable/,
  ],
  [
    'a directory flush that began before the rename had returned',
    [
      ...inOrder(...opened, ...store, flush(directory), ...accepted),
      { ...flush(directory), begin: 900, end: 960 },
      { ...renamed, begin: 910, end: 920 },
      ...inOrder(receive(post(one)), write(1, one), flush(), acknowledge(one)).map((event) => ({
        ...event,
        begin: event.begin + 1000,
        end: event.end + 1000,
      })),
    ],
    /before the name of its file was durable/,
  ],
  [
    'an answer before the store itself was durable',
    inOrder(
      ...[...opened, renamed, flush(directory), ...store, ...accepted],
      ...[receive(statementRequest(1)), statement(0, [])],
    ),
    /left before the store itself was durable/,
  ],
  [
    'a statement that shows what is not flushed',
    inOrder(
      ...[...begun, receive(post(one)), receive(statementRequest(1), other), write(1, one)],
      ...[statement(-60_000, [one], other), flush(), acknowledge(one)],
    ),
    /a statement of account 1 left before a flush/,
  ],
  [
    'a statement that shows what was never written',
    inOrder(...begun, receive(statementRequest(1)), statement(-60_000, [one])),
    /a statement of account 1 shows one, which was never written/,
  ],
  [
    'a statement whose balance is newer than what it lists',
    inOrder(
      ...[...begun, receive(post(one)), write(1, one), flush(), acknowledge(one)],
      ...[receive(statementRequest(1)), statement(-59_995, [one])],
    ),
    /shows -59995, behind its newest transaction it is -60000/,
  ],
  [
    'a statement that lacks what was durable when it was asked for',
    inOrder(
      ...[...begun, receive(post(one)), write(1, one), flush(), acknowledge(one)],
      ...[receive(statementRequest(1)), statement(0, [])],
    ),
    /lacks what was durable/,
  ],
  [
    'a refusal that only a state explains which is not flushed',
    inOrder(
      ...[...begun, receive(post(one)), receive(post(tooMuch), other), write(1, one)],
      ...[refusal(other), flush(), acknowledge(one)],
    ),
    /one \(seq 1\): the refusal of much, which only it explains, left before a flush/,
  ],
  [
    'a refusal that no state explains',
    inOrder(...begun, receive(post({ ...tooMuch, valor: 1 })), refusal()),
    /no state of account 1 explains the refusal of much/,
  ],
  [
    'a refusal that only a later transaction would explain',
    inOrder(
      ...[...begun, receive(post(tooMuch), other), refusal(other)],
      ...[receive(post(one)), write(1, one), flush(), acknowledge(one)],
    ),
    /no state of account 1 explains/,
  ],
  [
    'a refusal that was written all the same',
    inOrder(...[...begun, receive(post(one)), write(1, one), flush(), refusal()]),
    /one was refused and written/,
  ],
  [
    'another balance than the one that was written',
    inOrder(
      ...[...begun, receive(post(one)), write(1, one), flush()],
      acknowledge({ ...one, saldo: -1 }),
    ),
    /answered balance -1, written -60000/,
  ],
  [
    'another amount than the one that was sent',
    inOrder(
      ...[...begun, receive(post({ ...one, valor: 1 })), write(1, one), flush(), acknowledge(one)],
    ),
    /written with other values/,
  ],
  [
    'a transaction that was written twice',
    inOrder(
      ...[...begun, receive(post(one)), write(1, one), write(2, { ...one, seq: 2 }), flush()],
      acknowledge(one),
    ),
    /one was written as sequence 1 and as 2/,
  ],
  [
    'an answer before its request',
    inOrder(...begun, write(1, one), flush(), acknowledge(one)),
    /an answer before its request/,
  ],
  [
    'pipelined answers in the wrong order',
    inOrder(
      ...[...begun, receive(post(one) + post(two)), write(1, one, two), flush()],
      ...[acknowledge(two), acknowledge(one)],
    ),
    /answered balance -59995, written -60000/,
  ],
  [
    'the second of two answers in one call is not flushed yet',
    inOrder(
      ...[...begun, receive(post(one) + post(two)), write(1, one), flush(), write(2, two)],
      {
        kind: 'send',
        fd: client,
        bytes: Buffer.concat(
          [acknowledge(one), acknowledge(two)].map((each) => (each as { bytes: Buffer }).bytes),
        ),
      },
      flush(),
    ),
    /^two \(seq 2\): its 200 left before a flush/,
  ],
  [
    'a frame of which the trace shows only the beginning',
    inOrder(...begun, { ...write(1, one), bytes: frame(1, [one]).subarray(0, 80) } as Bare),
    /the trace or a write was cut: 16 of 48 bytes of a frame at 4096/,
  ],
  [
    'a frame in a file that nobody saw being opened',
    inOrder(...begun, { ...write(1, one), fd: 99 } as Bare),
    /a file that is not in the trace/,
  ],
];

for (const [what, events, finding] of wrong) {
  test(`caught: ${what}`, (t) => {
    const { findings } = audit(events);
    t.true(
      findings.some((each) => finding.test(each)),
      JSON.stringify(findings),
    );
  });
}

test('a part of an answer that left early counts as the answer', (t) => {
  const { bytes } = acknowledge(one) as { bytes: Buffer };
  const early: Bare = { kind: 'send', fd: client, bytes: bytes.subarray(0, 5) };
  const late: Bare = { kind: 'send', fd: client, bytes: bytes.subarray(5) };
  const before = inOrder(...begun, receive(post(one)), write(1, one), early, flush(), late);
  t.regex(audit(before).findings[0]!, /its 200 left before a flush/);
  const after = inOrder(...begun, receive(post(one)), write(1, one), flush(), early, late);
  t.deepEqual(audit(after).findings, []);
});
