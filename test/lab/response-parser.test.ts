import test from 'ava';
import fc from 'fast-check';
import { ResponseParser } from '#espora/lab/response-parser.js';
import type { ParserState } from '#espora/lab/response-parser.js';

interface Parsed {
  readonly state: ParserState;
  readonly status: number;
  readonly body: string;
  readonly keepAlive: boolean;
  readonly excessBytes: number;
  readonly problem: string;
}

/** Pushes the pieces through one buffer that is overwritten each time, as the sockets do. */
function parse(pieces: readonly Buffer[], end = false): Parsed {
  const parser = new ResponseParser();
  const reused = Buffer.alloc(1 << 16);
  let state: ParserState = 'incomplete';
  for (const piece of pieces) {
    reused.fill(0xff);
    piece.copy(reused);
    state = parser.push(reused.subarray(0, piece.length));
  }
  if (end) state = parser.end();
  const { status, body, keepAlive, excessBytes, problem } = parser;
  return { state, status, body, keepAlive, excessBytes, problem };
}

const whole = (text: string): Parsed => parse([Buffer.from(text)]);

const right: readonly (readonly [string, string, Partial<Parsed>])[] = [
  [
    'a length',
    'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{"ã"',
    { status: 200, body: '{"ã', keepAlive: true, excessBytes: 1 },
  ],
  [
    'no body',
    'HTTP/1.1 422 Unprocessable Entity\r\ncontent-length:0\r\n\r\n',
    { status: 422, body: '', keepAlive: true },
  ],
  [
    'a body that holds an empty line',
    'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\r\n\r\n"a"}',
    { status: 200, body: '{\r\n\r\n"a"}', keepAlive: true },
  ],
  [
    'chunks',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\n{"a\r\n1;x=1\r\n"\r\n00\r\nT: 1\r\n\r\n',
    { status: 200, body: '{"a"', keepAlive: true },
  ],
  [
    'chunks, and bytes after them',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\nabc',
    { body: '1', excessBytes: 3 },
  ],
  [
    'an interim answer first',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1',
    { status: 200, body: '1' },
  ],
  ['no content', 'HTTP/1.1 204 No Content\r\n\r\n', { status: 204, body: '', keepAlive: true }],
  [
    'Connection: close',
    'HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\n1',
    { keepAlive: false },
  ],
  [
    'HTTP/1.0',
    'HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1',
    { status: 200, body: '1', keepAlive: false },
  ],
  [
    'HTTP/1.0 that keeps the connection',
    'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n1',
    { keepAlive: true },
  ],
  [
    'the same length twice',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1',
    { body: '1' },
  ],
];

for (const [title, text, expected] of right) {
  test(`read: ${title}`, (t) => {
    t.like(whole(text), { state: 'complete', problem: '', ...expected });
  });

  test(`the same however it is cut: ${title}`, (t) => {
    const bytes = Buffer.from(text);
    const { body, status, keepAlive } = whole(text);
    // Bytes after the answer are only seen while one looks: cut before them.
    const end = bytes.length - whole(text).excessBytes;
    const single = Array.from(bytes.subarray(0, end), (byte) => Buffer.from([byte]));
    t.like(parse(single), { state: 'complete', body, status, keepAlive });
    for (let cut = 1; cut < end; cut++) {
      const pieces = [bytes.subarray(0, cut), bytes.subarray(cut, end)];
      t.like(parse(pieces), { state: 'complete', body, status, keepAlive }, `cut at ${cut}`);
    }
    for (let cut = 0; cut < end; cut++) {
      t.is(parse([bytes.subarray(0, cut)]).state, 'incomplete', `only ${cut} bytes`);
    }
  });
}

test('without a length the body ends with the connection', (t) => {
  const head = 'HTTP/1.1 200 OK\r\n\r\n';
  t.is(whole(`${head}{"a":1}`).state, 'incomplete');
  const pieces = [Buffer.from(`${head}{"a"`), Buffer.from(':1}')];
  t.like(parse(pieces, true), { state: 'complete', body: '{"a":1}', keepAlive: false });
});

const malformed: readonly (readonly [string, string, RegExp])[] = [
  ['not HTTP', 'SSH-2.0-OpenSSH\r\n\r\n', /starts with "SSH/],
  ['another version', 'HTTP/2.0 200 OK\r\n\r\n', /starts with/],
  ['no status', 'HTTP/1.1 OK\r\n\r\n', /starts with/],
  ['a line without a colon', 'HTTP/1.1 200 OK\r\nContent-Length 4\r\n\r\n', /header line/],
  [
    'a length with a sign',
    'HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\n',
    /Content-Length is "\+4"/,
  ],
  ['a hexadecimal length', 'HTTP/1.1 200 OK\r\nContent-Length: 0x4\r\n\r\n', /Content-Length/],
  [
    'two lengths',
    'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n',
    /Content-Length is "5"/,
  ],
  [
    'a length and chunks',
    'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n',
    /both/,
  ],
  ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n', /Transfer-Encoding/],
  ['a chunk without size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n', /no size/],
  [
    'a chunk that is longer than it says',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n',
    /longer/,
  ],
  ['an endless head', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(65_600)}`, /head is over/],
];

for (const [title, text, problem] of malformed) {
  test(`malformed: ${title}`, (t) => {
    const bytes = Buffer.from(text);
    const pieces = [bytes.subarray(0, 60_000), bytes.subarray(60_000)].filter((p) => p.length > 0);
    const parsed = parse(pieces);
    t.is(parsed.state, 'malformed');
    t.regex(parsed.problem, problem);
  });
}

for (const [title, text, problem] of [
  ['before an answer', '', /ended before an answer/],
  ['inside the head', 'HTTP/1.1 200 OK\r\nConte', /ended after 22 bytes of the head/],
  [
    'inside the body',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12',
    /ended after 2 of 5 bytes of the body/,
  ],
  [
    'inside a chunk',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12',
    /ended inside the body/,
  ],
] as const) {
  test(`the connection ends ${title}`, (t) => {
    const parsed = parse([Buffer.from(text)], true);
    t.is(parsed.state, 'malformed');
    t.regex(parsed.problem, problem);
  });
}

test('bytes after a complete answer are counted', (t) => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n12';
  t.is(whole(`${answer}3`).excessBytes, 1);
  t.is(parse([Buffer.from(answer), Buffer.from('345')]).excessBytes, 3);
});

test('a parser that was reset reads the next answer as the first', (t) => {
  const parser = new ResponseParser();
  parser.push(Buffer.from('HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\n123'));
  parser.reset();
  t.is(parser.push(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n')), 'incomplete');
  t.is(parser.push(Buffer.from('7')), 'complete');
  t.like({ ...parser }, { status: 200, body: '7', keepAlive: true, excessBytes: 0, problem: '' });
});

test('no bytes whatever make it throw or end in two ways', (t) => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    fc
      .constantFrom('HTTP/1.1 200 OK\r\n', 'Content-Length: 3\r\n', '\r\n', '{"a":1}', '0\r\n\r\n')
      .map((text) => Buffer.from(text)),
    fc
      .constantFrom('Transfer-Encoding: chunked\r\n', '3\r\nabc\r\n', 'HTTP/1.1 100 \r\n\r\n')
      .map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const inOne = parse([Buffer.concat(pieces)], true);
      const inMany = parse(pieces, true);
      return inOne.state === inMany.state && inOne.status === inMany.status;
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
