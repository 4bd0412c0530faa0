// Streams of HTTP requests: valid ones made of pieces with unusual variants, and mutations of them. The same seed gives the same streams.

/** xoshiro128**; small, fast, and good enough to reach every variant. */
export class Random {
  constructor(seed) {
    // splitmix32
    let x = seed >>> 0;
    this.state = Array.from({ length: 4 }, () => {
      x = (x + 0x9e3779b9) >>> 0;
      let z = x;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    });
  }
  next() {
    const s = this.state;
    const x = Math.imul(s[1], 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }
  /** 0 … count - 1. */
  below(count) {
    return this.next() % count;
  }
  chance(percent) {
    return this.below(100) < percent;
  }
  pick(list) {
    return list[this.below(list.length)];
  }
}

const methods = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE'];
const oddMethods = [
  'CONNECT',
  'get',
  'GE',
  'GETT',
  'X-Y',
  'PRI',
  'M-SEARCH',
  'A',
  "!#$%&'*+-.^_`|~0",
  'SOURCE',
];
const targets = [
  '/',
  '/clientes/1/extrato',
  '/clientes/2/transacoes',
  '/a?b=c',
  '/?',
  '/%20',
  '/~x/:y;z',
  '//',
];
const oddTargets = [
  '*',
  'http://h/p',
  'http://h',
  'HTTP://h:80/x?y',
  'https://[::1]/',
  'ftp://h/',
  'a',
  'h:443',
  '/#f',
  '/a#',
  '/\x7f',
  '/\x80',
  '/ü',
  '/a b',
  'http://',
  'http:///x',
  'http://a@b/',
  '?x',
  '/\t',
  'x://y',
];
const versions = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'];
const oddVersions = [
  'HTTP/2.0',
  'HTTP/1.2',
  'HTTP/0.9',
  'http/1.1',
  'HTTP/1.1 ',
  'HTTP/11',
  'HTTP/1.10',
  'HTTP/3.0',
  'ICE/1.0',
  'RTSP/1.0',
  'HTTP/1.',
];
const hosts = ['h', 'localhost:9999', '[::1]:80', '127.0.0.1', ''];
const oddHosts = ['a b', 'a,b', 'a/b', 'é', 'a:b', '[::1', 'a@b', 'h ', '\th', 'a_b', '%41'];
const plain = [
  'Accept: */*',
  'User-Agent: x/1',
  'Cookie: a=b; c=d',
  'X: ',
  'X:y',
  'X:\t y \t',
  'Y: \x80\xff',
  'Date: now',
  'X-A: "a\\"b"',
  'Via: 1.1 x',
];
const odd = [
  'X : y',
  ' X: y',
  'X',
  ': y',
  'X: a\x00b',
  'X: a\x01b',
  'X\x80: y',
  'X: \x7f',
  'X(: y',
  'X: a\r b',
  'X: a\r\n b',
  'X: a\n',
  '"X": y',
  'X: a\rb',
  'X;: y',
  'X\t: y',
];
const connection = [
  'Connection: close',
  'Connection: keep-alive',
  'Connection: Keep-Alive, x',
  'Connection: x, CLOSE',
  'Connection: keep-alive, close',
  'Connection: upgrade\r\nUpgrade: h2c',
  'Upgrade: websocket',
  'Connection: upgrade',
  'Connection:',
  'Connection: ,close',
  'Connection: closed',
  'Connection: close,',
  'Proxy-Connection: close',
  'Connection: x\r\nConnection: close',
  'Connection: clo se',
  'Connection: "close"',
  'Connection: close;x',
];
const expectations = [
  'Expect: 100-continue',
  'Expect: 100-Continue',
  'Expect: x',
  'Expect:',
  'Expect: 100-continue, x',
];
const oddLengths = [
  '+5',
  '-1',
  '0x5',
  '5, 5',
  '5,6',
  '',
  ' ',
  '05',
  '5 ',
  '1e1',
  '99999999999999999999',
  '18446744073709551616',
  '5000',
  '\t5',
  '5;',
];
const codings = ['chunked', 'chunked', 'chunked', 'Chunked', 'CHUNKED'];
const oddCodings = [
  'gzip, chunked',
  'chunked, chunked',
  'chunked, gzip',
  'identity',
  'gzip',
  '',
  'chunked,',
  ',chunked',
  'x-chunked',
  'chunked;q=1',
  'chunkedd',
  '"chunked"',
  'gzip,chunked',
  'chunked ',
  'identity, chunked',
];
const extensions = ['', '', '', ';a', ';a=b', ';a="b c"', ';a="\\""'];
const oddExtensions = [
  ' ',
  ';',
  '; a',
  ';a ',
  ';a=',
  ' ;a',
  ';a="',
  ';a=b=c',
  ';\x80',
  ';a=\x01',
  '\t',
  ';a;;b',
  ';"a"',
];
const trailers = ['X: y', 'Connection: close', 'A:b', 'Date: now'];
const oddTrailers = [
  'Content-Length: 5',
  'Transfer-Encoding: chunked',
  'Host: h',
  'X : y',
  ' X: y',
  'X',
  'X: a\x00',
  'Connection: upgrade',
  'Upgrade: x',
];
const dictionary = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  '\n\n',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '\0',
  '\x7f',
  '\x80',
  '0',
  'f',
  'HTTP/1.1',
  'Host: h\r\n',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n',
  '0\r\n\r\n',
  '1\r\nx\r\n',
  'chunked',
  '#',
  '?',
  '"',
  '\\',
];

function text(random, length) {
  let all = '';
  for (let i = 0; i < length; i++)
    all += String.fromCharCode(random.chance(90) ? 0x20 + random.below(0x5f) : random.below(256));
  return all;
}

/** All of `items`, in an order drawn from `random`, which has `below(count)`. */
export function shuffled(random, items) {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}

/** One request; `oddness`: how often, in percent, a piece is one that may be wrong. */
function request(random, oddness) {
  const choose = (usual, unusual) => random.pick(random.chance(oddness) ? unusual : usual);
  const version = choose(versions, oddVersions);
  const fields = [];
  if (!random.chance(oddness)) fields.push(`Host: ${choose(hosts, oddHosts)}`);
  if (random.chance(oddness)) fields.push(`host:${choose(hosts, oddHosts)}`);
  for (let left = random.below(3); left > 0; left--) fields.push(choose(plain, odd));
  if (random.chance(25)) fields.push(random.pick(connection));
  if (random.chance(oddness)) fields.push(random.pick(expectations));
  let body = '';
  const kind = random.below(10);
  if (kind < 3) {
    body = text(random, random.below(24));
    fields.push(
      `Content-Length: ${random.chance(oddness) ? random.pick(oddLengths) : String(body.length)}`,
    );
    if (random.chance(oddness)) fields.push(`content-length: ${String(body.length)}`);
    if (random.chance(oddness)) fields.push(`Transfer-Encoding: ${choose(codings, oddCodings)}`);
  } else if (kind < 6) {
    fields.push(`Transfer-Encoding: ${choose(codings, oddCodings)}`);
    if (random.chance(oddness)) fields.push(`Transfer-Encoding: ${choose(codings, oddCodings)}`);
    for (let left = random.below(3); left > 0; left--) {
      const data = text(random, 1 + random.below(20));
      const size = random.chance(20)
        ? `00${data.length.toString(16)}`
        : random.chance(20)
          ? data.length.toString(16).toUpperCase()
          : data.length.toString(16);
      body += `${size}${choose(extensions, oddExtensions)}\r\n${data}\r\n`;
    }
    body += `${random.chance(10) ? '000' : '0'}${choose(extensions, oddExtensions)}\r\n`;
    if (random.chance(20)) body += `${choose(trailers, oddTrailers)}\r\n`;
    body += '\r\n';
  }
  const line = `${choose(methods, oddMethods)} ${choose(targets, oddTargets)} ${version}`;
  return `${random.chance(3) ? '\r\n' : ''}${line}\r\n${shuffled(random, fields)
    .map((field) => `${field}\r\n`)
    .join('')}\r\n${body}`;
}

function mutate(random, stream) {
  const at = random.below(stream.length + 1);
  const other = random.below(stream.length + 1);
  switch (random.below(7)) {
    case 0: // changes one byte
      return stream.slice(0, at) + String.fromCharCode(random.below(256)) + stream.slice(at + 1);
    case 1: // inserts something
      return stream.slice(0, at) + random.pick(dictionary) + stream.slice(at);
    case 2: // removes one byte
      return stream.slice(0, at) + stream.slice(at + 1);
    case 3: // removes a part
      return stream.slice(0, Math.min(at, other)) + stream.slice(Math.max(at, other));
    case 4: // repeats a part
      return stream.slice(0, Math.max(at, other)) + stream.slice(Math.min(at, other));
    case 5: // cuts the end
      return stream.slice(0, at);
    default: // flips one bit
      if (at === stream.length) return stream;
      return (
        stream.slice(0, at) +
        String.fromCharCode(stream.charCodeAt(at) ^ (1 << random.below(8))) +
        stream.slice(at + 1)
      );
  }
}

/** One stream, as text of one character per byte: 1 to 3 requests, and 0 to 3 mutations. */
export function generate(random) {
  const oddness = random.pick([0, 0, 3, 10]);
  let stream = '';
  for (let left = random.chance(70) ? 1 : 2 + random.below(2); left > 0; left--)
    stream += request(random, oddness);
  if (random.chance(45))
    for (let left = 1 + random.below(3); left > 0; left--) stream = mutate(random, stream);
  return Array.from(stream, (byte) => (byte > '\xff' ? '?' : byte)).join('');
}
