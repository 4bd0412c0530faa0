// An HTTP/1.1 request parser in plain JavaScript, one pass over the bytes, no strings, no allocation:
// what a careful author would write for this one service. It reads whole requests only, without
// chunked bodies (they are refused), so it does less than the data plane's parser.

const space = 0x20;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;
const colon = 0x3a;

const headBytesMax = 24 * 1024;
const fieldsMax = 100;

/** Bytes that a token, a target and a field's value may hold: RFC 9110 5.6.2, 5.5; RFC 3986. */
const token = 1;
const target = 2;
const value = 4;
const classOf = new Uint8Array(256);
for (let byte = 0x21; byte < 0x7f; byte++) {
  if (/[\w!#$%&'*+.^`|~-]/.test(String.fromCharCode(byte))) classOf[byte]! |= token;
  if (byte !== 0x23) classOf[byte]! |= target;
  classOf[byte]! |= value;
}
for (let byte = 0x80; byte < 0x100; byte++) classOf[byte]! |= value;
classOf[space]! |= value;
classOf[0x09]! |= value;

const host = Buffer.from('host');
const connection = Buffer.from('connection');
const contentLength = Buffer.from('content-length');
const transferEncoding = Buffer.from('transfer-encoding');
const close = Buffer.from('close');
const versionPrefix = Buffer.from('HTTP/1.');

function startsWith(bytes: Uint8Array, begin: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) {
    if (bytes[begin + i] !== wanted[i]) return false;
  }
  return true;
}

/** Whether a token from `begin` to `end` is `wanted`, which is in lower case, whatever its own. */
function isText(bytes: Uint8Array, begin: number, end: number, wanted: Uint8Array): boolean {
  if (end - begin !== wanted.length) return false;
  for (let i = 0; i < wanted.length; i++) {
    if ((bytes[begin + i]! | 0x20) !== wanted[i]!) return false;
  }
  return true;
}

export class RequestParser {
  // Of the request that parse() found: offsets into its bytes.
  methodEnd = 0;
  pathBegin = 0;
  pathEnd = 0;
  bodyBegin = 0;
  bodyEnd = 0;
  keepAlive = true;

  #hosts = 0;
  #length = -1;

  /** Whether `bytes` begin with one whole, well-formed request. */
  parse(bytes: Uint8Array): boolean {
    const fields = this.#requestLine(bytes);
    if (fields < 0) return false;
    const body = this.#fields(bytes, fields);
    if (body < 0 || this.#hosts !== 1) return false;
    this.bodyBegin = body;
    this.bodyEnd = body + Math.max(this.#length, 0);
    return this.bodyEnd <= bytes.length;
  }

  /** Where the fields begin, or -1. */
  #requestLine(bytes: Uint8Array): number {
    let at = 0;
    while ((classOf[bytes[at]!]! & token) !== 0) at++;
    if (at === 0 || bytes[at] !== space) return -1;
    this.methodEnd = at;

    const begin = ++at;
    if (bytes[begin] !== 0x2f) return -1;
    let pathEnd = -1;
    for (; (classOf[bytes[at]!]! & target) !== 0; at++) {
      if (bytes[at] === 0x3f && pathEnd < 0) pathEnd = at;
    }
    if (bytes[at] !== space) return -1;
    this.pathBegin = begin;
    this.pathEnd = pathEnd < 0 ? at : pathEnd;

    at++;
    if (!startsWith(bytes, at, versionPrefix)) return -1;
    const minor = bytes[at + 7]!;
    if (minor !== 0x30 && minor !== 0x31) return -1;
    this.keepAlive = minor === 0x31;
    if (bytes[at + 8] !== carriageReturn || bytes[at + 9] !== lineFeed) return -1;
    return at + 10;
  }

  /** Where the body begins, or -1. */
  #fields(bytes: Uint8Array, begin: number): number {
    this.#hosts = 0;
    this.#length = -1;
    let at = begin;
    for (let count = 0; bytes[at] !== carriageReturn; count++) {
      if (count === fieldsMax || at > headBytesMax) return -1;
      const nameBegin = at;
      while ((classOf[bytes[at]!]! & token) !== 0) at++;
      const nameEnd = at;
      if (nameEnd === nameBegin || bytes[at] !== colon) return -1;
      at++;
      while (bytes[at] === space || bytes[at] === 0x09) at++;
      const valueBegin = at;
      while ((classOf[bytes[at]!]! & value) !== 0) at++;
      if (bytes[at] !== carriageReturn || bytes[at + 1] !== lineFeed) return -1;
      let valueEnd = at;
      while (
        valueEnd > valueBegin &&
        (bytes[valueEnd - 1] === space || bytes[valueEnd - 1] === 0x09)
      ) {
        valueEnd--;
      }
      at += 2;
      if (!this.#field(bytes, nameBegin, nameEnd, valueBegin, valueEnd)) return -1;
    }
    return bytes[at + 1] === lineFeed ? at + 2 : -1;
  }

  #field(
    bytes: Uint8Array,
    nameBegin: number,
    nameEnd: number,
    valueBegin: number,
    valueEnd: number,
  ): boolean {
    switch (nameEnd - nameBegin) {
      case 4:
        if (isText(bytes, nameBegin, nameEnd, host)) this.#hosts++;
        return true;
      case 10:
        if (isText(bytes, nameBegin, nameEnd, connection)) {
          this.keepAlive = !isText(bytes, valueBegin, valueEnd, close);
        }
        return true;
      case 14:
        if (!isText(bytes, nameBegin, nameEnd, contentLength)) return true;
        if (this.#length >= 0) return false;
        this.#length = integer(bytes, valueBegin, valueEnd);
        return this.#length >= 0;
      case 17:
        return !isText(bytes, nameBegin, nameEnd, transferEncoding);
      default:
        return true;
    }
  }
}

/** Decimal digits as a number, or -1. */
function integer(bytes: Uint8Array, begin: number, end: number): number {
  if (begin === end || end - begin > 9) return -1;
  let number = 0;
  for (let at = begin; at < end; at++) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number;
}
