// One TCP (or unix-socket) connection of a virtual user: opened for its first request, one request at
// a time. This is the player's hot path: no streams, one read buffer for all connections, and the clock is
// read three times for each request.
import { Socket } from 'node:net';
import type { OnReadOpts, SocketConstructorOpts } from 'node:net';
import { ResponseParser } from './response-parser.js';

/** Where the service listens. A host is an IP address, so that connections resolve no name. */
export type Target = { readonly host: string; readonly port: number } | { readonly path: string };

/** Why there is no answer, or no valid one. */
export type ProblemCode =
  | 'refused' // no process listens there
  | 'connect' // connecting failed in another way
  | 'reset' // the server reset it
  | 'closed' // the server closed it before or within the answer
  | 'timeout' // no complete answer in time
  | 'malformed' // not HTTP, or not JSON where JSON must be
  | 'excess' // the server sent bytes that belong to no answer
  | 'abandoned'; // the player stopped: says nothing about the service

export interface Problem {
  readonly code: ProblemCode;
  /** One sentence without a full stop. */
  readonly message: string;
}

/** The outcome of one request. Times are those of `performance.now()`. */
export interface Exchange {
  /** When the player began: it opened the connection, or wrote to an open one. */
  readonly startedAt: number;
  /** When the connection was open; `startedAt` if it already was, NaN if it never was. */
  readonly connectedAt: number;
  /** When the whole answer was read, or the problem was noticed. */
  readonly endedAt: number;
  /** 0 if there is no answer. */
  readonly status: number;
  readonly body: string;
  readonly problem: Problem | undefined;
}

// Every read is parsed before the next one, so all sockets of a thread can share one buffer.
const readBuffer = Buffer.allocUnsafe(64 * 1024);

function connectProblem(error: NodeJS.ErrnoException): Problem {
  const code = error.code ?? error.message;
  return code === 'ECONNREFUSED' || code === 'ENOENT'
    ? { code: 'refused', message: 'the connection was refused' }
    : { code: 'connect', message: `the connection could not be made (${code})` };
}

export class Connection {
  readonly #target: Target;
  readonly #timeoutMs: number;
  readonly #parser = new ResponseParser();
  readonly #socket: Socket;
  #state: 'new' | 'connecting' | 'open' | 'over' = 'new';
  #timer: NodeJS.Timeout | undefined;
  #done: ((exchange: Exchange) => void) | undefined;
  /** A problem that occurred while no request was under way. */
  #idleProblem: Problem | undefined;
  #startedAt = 0;
  #connectedAt = Number.NaN;

  /** Prepares a connection; it is opened by the first request. */
  constructor(target: Target, timeoutMs: number) {
    this.#target = target;
    this.#timeoutMs = timeoutMs;
    const onread: OnReadOpts = {
      buffer: readBuffer,
      callback: (length) => {
        this.#onRead(length);
        return true;
      },
    };
    // The constructor accepts it too, although its types do not say so.
    const options: SocketConstructorOpts & { onread: OnReadOpts } = { onread };
    this.#socket = new Socket(options);
    this.#socket
      .on('connect', () => {
        this.#connectedAt = performance.now();
        this.#state = 'open';
      })
      .on('error', (error: NodeJS.ErrnoException) => {
        this.#onError(error);
      })
      .on('end', () => {
        this.#onEnd();
      });
  }

  /** True while another request can be sent: opened, answered, and not closed by either side. */
  get reusable(): boolean {
    return this.#state === 'open' && this.#done === undefined && this.#idleProblem === undefined;
  }

  /** Sends one request; `done` is called once, never from within this call. One at a time. */
  request(bytes: Buffer, done: (exchange: Exchange) => void): void {
    if (this.#done !== undefined) throw new Error('a request is under way');
    this.#done = done;
    this.#timer = setTimeout(() => {
      // If this thread was delayed, the answer may have arrived and not been read yet: read first.
      setImmediate(() => {
        if (this.#done === done) this.#onTimeout();
      });
    }, this.#timeoutMs);
    this.#startedAt = performance.now();
    if (this.#state === 'new') {
      this.#state = 'connecting';
      this.#socket.connect(this.#target);
    } else {
      this.#parser.reset();
      this.#connectedAt = this.#startedAt;
      if (this.#idleProblem !== undefined || this.#state === 'over') {
        const problem = this.#idleProblem ?? { code: 'closed', message: 'it was closed before' };
        setImmediate(() => {
          this.#end(performance.now(), problem);
        });
        return;
      }
    }
    this.#socket.write(bytes);
  }

  /** Ends the connection. A request under way ends as `abandoned`. */
  close(): void {
    this.#end(performance.now(), { code: 'abandoned', message: 'the player stopped' });
    this.#state = 'over';
    this.#socket.destroy();
  }

  #onRead(length: number): void {
    const now = performance.now();
    const bytes = readBuffer.subarray(0, length);
    if (this.#done === undefined) {
      this.#idleProblem ??= {
        code: 'excess',
        message: `${length} bytes came that belong to no answer`,
      };
      return;
    }
    const state = this.#parser.push(bytes);
    if (state !== 'incomplete') this.#endParsed(now, state);
  }

  #endParsed(now: number, state: 'complete' | 'malformed'): void {
    const { excessBytes, problem } = this.#parser;
    if (state === 'malformed') {
      this.#end(now, { code: 'malformed', message: `the answer is malformed: ${problem}` });
    } else if (excessBytes > 0) {
      this.#end(now, { code: 'excess', message: `${excessBytes} bytes follow the answer` });
    } else {
      this.#end(now, undefined);
    }
  }

  #onEnd(): void {
    const now = performance.now();
    if (this.#done !== undefined) {
      const state = this.#parser.end();
      if (state === 'complete') this.#endParsed(now, state);
      else this.#end(now, { code: 'closed', message: this.#parser.problem });
    }
    this.#state = 'over';
  }

  #onError(error: NodeJS.ErrnoException): void {
    const now = performance.now();
    const connecting = this.#state === 'connecting';
    this.#state = 'over';
    if (this.#done === undefined) return;
    const reset = error.code === 'ECONNRESET' || error.code === 'EPIPE';
    if (connecting && !reset) {
      this.#end(now, connectProblem(error));
    } else if (reset) {
      const message = `the connection was reset ${this.#parser.progress()}`;
      this.#end(now, { code: 'reset', message });
    } else {
      this.#end(now, { code: 'reset', message: `the connection failed (${String(error.code)})` });
    }
  }

  #onTimeout(): void {
    const what = this.#state === 'connecting' ? 'no connection' : 'no complete answer';
    this.#end(performance.now(), {
      code: 'timeout',
      message: `${what} within ${this.#timeoutMs / 1000} s (${this.#parser.progress()})`,
    });
    this.#state = 'over';
    this.#socket.destroy();
  }

  #end(endedAt: number, problem: Problem | undefined): void {
    const done = this.#done;
    if (done === undefined) return;
    this.#done = undefined;
    clearTimeout(this.#timer);
    const { status, body, keepAlive } = this.#parser;
    if (problem === undefined ? !keepAlive : problem.code !== 'excess') this.#state = 'over';
    done({
      startedAt: this.#startedAt,
      connectedAt: this.#connectedAt,
      endedAt,
      status: problem === undefined ? status : 0,
      body,
      problem,
    });
  }
}
