// Where our request parser and Node.js's own (llhttp, strict) may differ, and why. Everything else is a
// finding. test/conformance/DIFFERENCES.md is this list for people; a test compares the two.

/** Class → its reason, one paragraph. In classes that begin with "stricter" we refuse what llhttp accepts. */
export const classes = Object.freeze({
  'stricter: host':
    'No `Host` in 1.1, two of them, or bytes that no host has: 400 (RFC 9112 3.2). llhttp does not look at `Host`; Node.js asks for one above the parser.',
  'stricter: framing':
    '`Transfer-Encoding` beside `Content-Length` or in 1.0, `chunked` not last or twice, a length twice, in a list, signed or empty: 400 (RFC 9112 6.1 and 6.3). Whatever two servers could read as two lengths is refused, also where llhttp sees no doubt.',
  'stricter: target':
    'A target is a path, or `http(s)://` with a host and a path, of the bytes 0x21 to 0x7E, without a fragment; `*` only for `OPTIONS` (RFC 9112 3.2). CONNECT to an authority and other schemes belong to proxies.',
  'stricter: request line':
    'A request without a version (HTTP/0.9), and line ends other than CRLF between two requests: 400 (RFC 9112 2.2 and 3).',
  'stricter: version': 'Versions other than 1.0 and 1.1 are 505; llhttp also takes 0.9 and 2.0.',
  'stricter: fields':
    '`Content-Length`, `Transfer-Encoding` and `Host` in a trailer section are 400: a server that merged them would read another request (RFC 9110 6.5.1). Control characters in a value are 400 (RFC 9110 5.5).',
  'stricter: chunks':
    'Chunk extensions follow their grammar to the byte, without white space (RFC 9112 7.1.1).',
  'stricter: body limit':
    'A declared body above the limit is 413 before it is read; the other parser has no limit and waits for it.',
  'stricter: expectation': 'An expectation other than `100-continue` is 417 (RFC 9110 10.1.1).',
  'stricter: coding':
    'A transfer coding that we do not know, before a final `chunked`, is 501 (RFC 9112 6.1).',
  'limits: fields': 'More than 16 KiB or 100 fields are 431; the other limit counts other bytes.',
  'not yet judged':
    'Neither accepts it. llhttp refuses a part at its first wrong byte, we when the part (method, target, field, head) is whole; the stream ended before that.',
  'method is any token':
    'A method is a token (RFC 9110 9.1), and one that is unknown is 404 or 405 where it is routed. llhttp has a list of methods; `PRI` it takes as the preface of HTTP/2.',
  'upgrade is ignored':
    'We offer no protocol to upgrade to, so `Upgrade` and CONNECT change nothing (RFC 9110 7.8): what follows is the next request. llhttp stops reading HTTP there; of CONNECT it reads no body.',
  'trailers do not act':
    '`Connection` in a trailer section is dropped as all of it is; it cannot change what was decided at the head (RFC 9110 6.5.1). llhttp closes.',
  'proxy-connection is ignored':
    '`Proxy-Connection` is no field of HTTP (RFC 9112 C.2.2). llhttp takes it for `Connection`.',
  'connection is a list':
    '`Connection` is a list over all its lines, its members are whole tokens in any case, and `close` wins (RFC 9110 7.6.1, RFC 9112 9.3). llhttp judges by the single words that it recognizes.',
  'empty list members':
    'Empty members of a list are passed over (RFC 9110 5.6.1.2), so `chunked,` is `chunked`. llhttp refuses it.',
  'tab behind a value':
    'Optional white space behind a field value is SP or HTAB (RFC 9110 5.5 and 5.6.3). llhttp does not take the tab behind `Content-Length` and `Transfer-Encoding`.',
  'blank between requests':
    'A lone CR behind a request begins an empty line (RFC 9112 2.2), of which more is to come. llhttp passes over it.',
});

const byOurError = {
  host_invalido: 'stricter: host',
  tamanho_ambiguo: 'stricter: framing',
  alvo_invalido: 'stricter: target',
  linha_invalida: 'stricter: request line',
  versao_nao_suportada: 'stricter: version',
  cabecalho_invalido: 'stricter: fields',
  chunk_invalido: 'stricter: chunks',
  corpo_grande_demais: 'stricter: body limit',
  expectativa_desconhecida: 'stricter: expectation',
  codificacao_desconhecida: 'stricter: coding',
  cabecalhos_grandes_demais: 'limits: fields',
};

/** The parts of a verdict: one for each request, and the end. A body may contain line breaks. */
export function split(verdict) {
  const parts = [];
  let rest = verdict;
  for (let match; (match = /^\S+ \S* \d\.\d (?:keep|close) (\d+):/.exec(rest)) !== null;) {
    const length = match[0].length + Number(match[1]) + 1;
    parts.push(rest.slice(0, length));
    rest = rest.slice(length);
  }
  return [...parts, rest];
}

const head = /^(\S+) (\S*) (\d\.\d) (keep|close) /;
const withoutPersistence = (part) => part.replace(head, '$1 $2 $3 ');

/** The class of the difference between two verdicts on a stream (one character per byte), or undefined. */
export function classify(stream, ours, theirs) {
  const our = split(ours);
  const their = split(theirs);
  let at = 0;
  while (at < our.length - 1 && our[at] === their[at]) at++;
  const [a, b] = [our[at], their[at]];
  const aMessage = head.exec(a);
  const bMessage = head.exec(b);
  const aError = /^error \d+ (\w+)$/.exec(a)?.[1];
  const bError = /^error \d+ (\w+)$/.exec(b)?.[1];
  // llhttp stopped parsing; we parse the following bytes as the next request.
  if (b === 'upgrade') return 'upgrade is ignored';
  if (
    bMessage?.[1] === 'CONNECT' &&
    aError === undefined &&
    (aMessage === null || aMessage[1] === 'CONNECT')
  ) {
    return 'upgrade is ignored';
  }
  if (aError !== undefined) return byOurError[aError];
  if (bError !== undefined) {
    if (a === 'incomplete') return 'not yet judged';
    if (bError === 'HPE_INVALID_METHOD' && aMessage !== null) return 'method is any token';
    if (bError === 'HPE_INVALID_VERSION' && aMessage?.[1] === 'PRI') return 'method is any token';
    if (bError === 'HPE_CLOSED_CONNECTION' && trailerActs(stream)) return 'trailers do not act';
    if (bError === 'HPE_INVALID_TRANSFER_ENCODING' && emptyMember.test(stream)) {
      return 'empty list members';
    }
    if (tabBehindFraming.test(stream) && tabErrors.has(bError)) return 'tab behind a value';
    return undefined;
  }
  // llhttp waits for the rest of HTTP/2's preface.
  if (b === 'incomplete' && aMessage?.[1] === 'PRI') return 'method is any token';
  if (a === 'incomplete' && b === 'end' && stream.endsWith('\r')) return 'blank between requests';
  if (aMessage === null || bMessage === null || withoutPersistence(a) !== withoutPersistence(b)) {
    return undefined;
  }
  // Only the persistence of the connection differs.
  if (/^proxy-connection[ \t]*:/im.test(stream)) return 'proxy-connection is ignored';
  if (trailerActs(stream)) return 'trailers do not act';
  if (/^connection:/im.test(stream)) return 'connection is a list';
  return undefined;
}

const emptyMember = /^transfer-encoding:(?:[^\r\n]*,)?[ \t]*(?:,[^\r\n]*)?\r$/im;
const tabBehindFraming = /^(?:content-length|transfer-encoding):[^\r\n]*\t *\r$/im;
const tabErrors = new Set(['HPE_INVALID_CONTENT_LENGTH', 'HPE_INVALID_TRANSFER_ENCODING']);
const trailerActs = (stream) =>
  /(?:^|\n)0+(?:;[^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*(?:connection|upgrade):/i.test(stream);
