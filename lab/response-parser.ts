// Parses HTTP/1.1 answers from a stream of bytes, one at a time. It owns no socket, can resume at every
// byte, and needs one search and one short string for an answer that arrives in one piece.

/** The state after a push or the end of the stream. */
export type ParserState = 'incomplete' | 'complete' | 'malformed';

// An answer of the contest is about 1 KiB; these only bound what a broken service can make us keep.
const headBytesMax = 64 * 1024;
const bodyBytesMax = 4 * 1024 * 1024;

/** How the end of the body is found (RFC 9112 §6.3). */
type Framing = 'length' | 'chunked' | 'close';

const noBytes = Buffer.alloc(0);

export class ResponseParser {
  /** Status of the answer; 0 until its head is complete. */
  status = 0;
  /** The body; valid once complete. */
  body = '';
  /** True if the server means to keep the connection; valid once complete. */
  keepAlive = false;
  /** Number of bytes after the answer; more than 0 is an error of the server. */
  excessBytes = 0;
  /** What is malformed; one sentence without a full stop. */
  problem = '';

  #state: ParserState = 'incomplete';
  /** Bytes of an incomplete answer: of its head, or of its body once the framing is known. */
  #held: Buffer = noBytes;
  /** The same during a push, followed by the pushed bytes. */
  #unread: Buffer = noBytes;
  #framing: Framing | undefined;
  #bodyBytes = 0;

  /** Prepares for the next answer. */
  reset(): void {
    this.status = 0;
    this.body = '';
    this.keepAlive = false;
    this.excessBytes = 0;
    this.problem = '';
    this.#state = 'incomplete';
    this.#held = noBytes;
    this.#framing = undefined;
    this.#bodyBytes = 0;
  }

  /** Parses the bytes that were read. `bytes` may be overwritten after the call. */
  push(bytes: Buffer): ParserState {
    if (this.#state !== 'incomplete') {
      this.excessBytes += bytes.length;
      return this.#state;
    }
    const first = this.#held.length === 0;
    this.#unread = first ? bytes : Buffer.concat([this.#held, bytes]);
    const state = this.#parse();
    // Copied, because the caller reuses its buffer.
    if (state !== 'incomplete') this.#held = noBytes;
    else this.#held = first ? Buffer.from(this.#unread) : this.#unread;
    this.#unread = noBytes;
    return state;
  }

  /** The server ended the stream. */
  end(): ParserState {
    if (this.#state !== 'incomplete') return this.#state;
    if (this.#framing === 'close') return this.#complete(this.#held, this.#held.length);
    return this.#malformed(`the connection ended ${this.progress()}`);
  }

  /** Where an incomplete answer ended: `after 90 of 95 bytes of the body`. */
  progress(): string {
    const held = this.#held.length;
    if (this.#framing === 'length') return `after ${held} of ${this.#bodyBytes} bytes of the body`;
    if (this.#framing !== undefined) return `inside the body`;
    return held === 0 ? 'before an answer' : `after ${held} bytes of the head`;
  }

  #parse(): ParserState {
    while (this.#framing === undefined) {
      const headEnd = this.#unread.indexOf('\r\n\r\n', 0, 'latin1');
      if (headEnd < 0) {
        if (this.#unread.length > headBytesMax) return this.#malformed('its head is over 64 KiB');
        return 'incomplete';
      }
      if (!this.#readHead(this.#unread.toString('latin1', 0, headEnd))) return this.#state;
      this.#unread = this.#unread.subarray(headEnd + 4);
      // An interim answer precedes the final one (RFC 9110 §15.2).
      if (this.status < 200) {
        this.#framing = undefined;
        this.status = 0;
      }
    }
    if (this.#unread.length > bodyBytesMax) return this.#malformed('its body is over 4 MiB');
    if (this.#framing === 'chunked') return this.#readChunks(this.#unread);
    if (this.#framing === 'close' || this.#unread.length < this.#bodyBytes) return 'incomplete';
    return this.#complete(this.#unread, this.#bodyBytes);
  }

  /** False if the head is malformed. */
  #readHead(head: string): boolean {
    const lines = head.split('\r\n');
    const statusLine = /^HTTP\/1\.([01]) ([1-5][0-9][0-9])(?: |$)/.exec(lines[0]!);
    if (statusLine === null) {
      this.#malformed(`it starts with ${JSON.stringify(lines[0]!.slice(0, 40))}`);
      return false;
    }
    this.status = Number(statusLine[2]);
    let keepAlive = statusLine[1] === '1';
    let length: string | undefined;
    let chunked = false;
    for (let i = 1; i < lines.length; i++) {
      const line = lines[i]!;
      const colon = line.indexOf(':');
      if (colon <= 0) {
        this.#malformed(`it has the header line ${JSON.stringify(line.slice(0, 40))}`);
        return false;
      }
      switch (line.slice(0, colon).toLowerCase()) {
        case 'content-length': {
          const value = line.slice(colon + 1).trim();
          if (!/^[0-9]{1,15}$/.test(value) || (length !== undefined && length !== value)) {
            this.#malformed(`its Content-Length is ${JSON.stringify(value)}`);
            return false;
          }
          length = value;
          break;
        }
        case 'transfer-encoding':
          if (
            line
              .slice(colon + 1)
              .trim()
              .toLowerCase() !== 'chunked'
          ) {
            this.#malformed(`its Transfer-Encoding is ${JSON.stringify(line.slice(colon + 1))}`);
            return false;
          }
          chunked = true;
          break;
        case 'connection':
          if (/(?:^|[\s,])close(?:$|[\s,])/i.test(line.slice(colon + 1))) keepAlive = false;
          else if (/(?:^|[\s,])keep-alive(?:$|[\s,])/i.test(line.slice(colon + 1)))
            keepAlive = true;
          break;
        default:
      }
    }
    if (chunked && length !== undefined) {
      this.#malformed('it has both Content-Length and Transfer-Encoding');
      return false;
    }
    const bodiless = this.status === 204 || this.status === 304;
    this.#framing = chunked ? 'chunked' : length !== undefined || bodiless ? 'length' : 'close';
    this.#bodyBytes = bodiless ? 0 : Number(length ?? 0);
    this.keepAlive = keepAlive && this.#framing !== 'close';
    return true;
  }

  /** Parses chunks (RFC 9112 §7.1), each time from the first one: they are rare and short. */
  #readChunks(all: Buffer): ParserState {
    const parts: Buffer[] = [];
    let at = 0;
    for (;;) {
      const lineEnd = all.indexOf('\r\n', at, 'latin1');
      if (lineEnd < 0) return 'incomplete';
      const size = /^([0-9a-fA-F]{1,8})(?:[ \t]*;.*)?$/.exec(all.toString('latin1', at, lineEnd));
      if (size === null) return this.#malformed('a chunk has no size');
      const bytes = Number.parseInt(size[1]!, 16);
      const start = lineEnd + 2;
      if (bytes === 0) {
        // Trailers end with an empty line, which may be the first line.
        const end = all.indexOf('\r\n\r\n', lineEnd, 'latin1');
        if (end < 0) return 'incomplete';
        const body = Buffer.concat(parts);
        this.excessBytes = all.length - (end + 4);
        return this.#complete(body, body.length);
      }
      if (all.length < start + bytes + 2) return 'incomplete';
      if (all.toString('latin1', start + bytes, start + bytes + 2) !== '\r\n') {
        return this.#malformed('a chunk is longer than its size');
      }
      parts.push(all.subarray(start, start + bytes));
      at = start + bytes + 2;
    }
  }

  #complete(all: Buffer, bodyBytes: number): ParserState {
    this.body = all.toString('utf8', 0, bodyBytes);
    this.excessBytes += all.length - bodyBytes;
    this.#state = 'complete';
    return this.#state;
  }

  #malformed(problem: string): ParserState {
    this.problem = problem;
    this.#state = 'malformed';
    return this.#state;
  }
}
