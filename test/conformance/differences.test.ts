// What the comparison with Node.js's own parser rests on: its words for what that parser says, the
// classes of differences, their document, and streams that are worth comparing.
// `npm run differential` is the comparison itself.
import test from 'ava';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const script = (name: string): Promise<unknown> =>
  import(pathToFileURL(join(process.cwd(), 'scripts/differential', name)).href);
const { classes, classify, split } = (await script('differences.mjs')) as {
  classes: Readonly<Record<string, string>>;
  classify: (stream: string, ours: string, theirs: string) => string | undefined;
  split: (verdict: string) => string[];
};
const { documentPath, documentText } = (await script('document.mjs')) as {
  documentPath: string;
  documentText: () => string;
};
const { generate, Random } = (await script('generate.mjs')) as {
  generate: (random: unknown) => string;
  Random: new (seed: number) => { below: (count: number) => number };
};
const { NodeParser } = (await script('node-parser.mjs')) as {
  NodeParser: new () => { verdictOn: (bytes: Buffer) => string };
};

test('the document lists the classes that there are', (t) => {
  t.is(readFileSync(documentPath, 'utf8'), documentText());
  t.true(Object.values(classes).every((reason) => reason.length > 20));
});

test("what Node.js's parser says, in the words of ours", (t) => {
  const parser = new NodeParser();
  const cases: readonly (readonly [string, string])[] = [
    ['', 'end'],
    ['GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n', 'GET /a 1.1 keep 0:\nend'],
    ['GET http://h/p?q HTTP/1.0\r\n\r\nGET', 'GET /p 1.0 close 0:\nclosed'],
    ['POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na\nbGET /', 'POST / 1.1 keep 3:a\nb\nincomplete'],
    [
      'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\nGET /c HTTP/1.1\r\n\r\n',
      'POST / 1.1 keep 1:x\nGET /c 1.1 keep 0:\nend',
    ],
    ['GET / HTTP/1.1\r\nX : y\r\n\r\n', 'error 400 HPE_INVALID_HEADER_TOKEN'],
    [
      'GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nmore',
      'GET / 1.1 keep 0:\nupgrade',
    ],
  ];
  // One after the other: nothing of one stream is left in the next.
  for (const [bytes, verdict] of [...cases, ...cases.toReversed()]) {
    t.is(parser.verdictOn(Buffer.from(bytes, 'latin1')), verdict, bytes);
  }
});

test('a difference without a reason has none', (t) => {
  const message = 'GET /a 1.1 keep 1:x\n';
  t.deepEqual(split(`${message}POST / 1.0 close 2:\n\n\nclosed`), [
    message,
    'POST / 1.0 close 2:\n\n\n',
    'closed',
  ]);
  const unlike = [
    'GET /b 1.1 keep 1:x\nend',
    'GET /a 1.1 keep 1:y\nend',
    'PUT /a 1.1 keep 1:x\nend',
  ];
  for (const other of [
    ...unlike,
    'GET /a 1.0 keep 1:x\nend',
    'GET /a 1.1 close 1:x\nclosed',
    'end',
  ]) {
    t.is(classify('', `${message}end`, other), undefined, other);
  }
  t.is(classify('', 'end', 'error 400 HPE_INVALID_METHOD'), undefined);
  t.is(classify('', `${message}end`, 'error 400 HPE_INVALID_HEADER_TOKEN'), undefined);
  t.is(classify('', 'error 400 never_heard_of', `${message}end`), undefined);
  t.is(classify('', 'error 400 host_invalido', `${message}end`), 'stricter: host');
  t.is(classify('', 'incomplete', 'error 400 HPE_INVALID_URL'), 'not yet judged');
});

test('the same seed gives the same streams, and they are worth it', (t) => {
  const streams = (seed: number): string[] => {
    const random = new Random(seed);
    return Array.from({ length: 2000 }, () => generate(random));
  };
  t.deepEqual(streams(3), streams(3));
  t.notDeepEqual(streams(3), streams(4));
  t.true(new Set(streams(3)).size > 1900);
  t.true(streams(3).every((s) => Buffer.from(s, 'latin1').toString('latin1') === s));
  const parser = new NodeParser();
  const accepted = streams(3).filter((stream) =>
    parser.verdictOn(Buffer.from(stream, 'latin1')).includes('\n'),
  );
  t.true(accepted.length > 600, `${String(accepted.length)} of 2000`);
});
