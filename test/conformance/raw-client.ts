// A client that sends bytes as they are and reads answers by their framing, so that nothing between
// a test and the wire corrects anything.
import { connect } from 'node:net';
import type { NetConnectOpts, Socket } from 'node:net';

/** One answer as it came. */
export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** A connection under the test's control. */
export class RawClient {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      this.#wake?.();
    });
    socket.on('end', () => {
      this.#ended = true;
      this.#wake?.();
    });
    socket.on('error', (error) => {
      this.#error = error;
      this.#wake?.();
    });
  }

  static async open(where: NetConnectOpts): Promise<RawClient> {
    const socket = connect({ ...where, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve());
      socket.once('error', reject);
    });
    return new RawClient(socket);
  }

  send(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Bytes that arrived and belong to no answer that was read. */
  get unread(): Buffer {
    return this.#received;
  }

  /** The next answer. Rejects when the stream ends or `deadlineMs` passes before it is whole. */
  async answer(toHead = false, deadlineMs = 10_000): Promise<RawAnswer> {
    for (;;) {
      const answer = this.#take(toHead);
      if (answer !== undefined) return answer;
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) {
        throw new Error(`ended inside an answer: ${JSON.stringify(this.#received.toString())}`);
      }
      await this.#change(deadlineMs);
    }
  }

  /** Resolves when the server has closed its side; rejects when it says something more first. */
  async end(deadlineMs = 10_000): Promise<void> {
    while (!this.#ended) {
      if (this.#error !== undefined) throw this.#error;
      await this.#change(deadlineMs);
    }
    if (this.#received.length > 0) {
      throw new Error(`unexpected bytes: ${JSON.stringify(this.#received.toString())}`);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async #change(deadlineMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      timer = setTimeout(() => {
        const rest = JSON.stringify(this.#received.toString());
        reject(new Error(`nothing for ${deadlineMs} ms; so far ${rest}`));
      }, deadlineMs);
    });
    clearTimeout(timer);
    this.#wake = undefined;
  }

  #take(toHead: boolean): RawAnswer | undefined {
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd < 0) return undefined;
    const [statusLine = '', ...lines] = this.#received.toString('latin1', 0, headEnd).split('\r\n');
    const match = /^HTTP\/1\.1 (\d{3}) [\x20-\x7e]+$/.exec(statusLine);
    if (match === null) throw new Error(`not a status line: ${JSON.stringify(statusLine)}`);
    const status = Number(match[1]);
    const headers = new Map<string, string>();
    for (const line of lines) {
      const field = /^([A-Za-z-]+): ([\x20-\x7e]*)$/.exec(line);
      if (field === null) throw new Error(`not a header: ${JSON.stringify(line)}`);
      headers.set(field[1]!.toLowerCase(), field[2]!);
    }
    const length = status < 200 || toHead ? 0 : Number(headers.get('content-length'));
    if (!Number.isInteger(length)) throw new Error(`no Content-Length in ${statusLine}`);
    const end = headEnd + 4 + length;
    if (this.#received.length < end) return undefined;
    const body = this.#received.toString('utf8', headEnd + 4, end);
    this.#received = this.#received.subarray(end);
    return { status, headers, body };
  }
}
