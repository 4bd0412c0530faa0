// One TCP (or unix-socket) connection of a virtual user: opened for its first request, one request at
// a time. This is the player's hot path: no streams, one read buffer for all connections, three
// readings of the clock.
import { Socket } from 'node:net';
import type { OnReadOpts, SocketConstructorOpts } from 'node:net';
import { ResponseParser } from './response-parser.js';

/** Where the service listens. A host is an IP address: nothing is resolved per connection. */
export type Target = { readonly host: string; readonly port: number } | { readonly path: string };

/** Why there is no answer, or none that can be read. */
export type ProblemCode =
  | 'refused' // nobody listens
  | 'connect' // the connection could not be made
  | 'reset' // the server reset it
  | 'closed' // the server ended it before or inside the answer
  | 'timeout' // no complete answer in time
  | 'malformed' // not HTTP, or not JSON where JSON must be
  | 'excess' // bytes that belong to no answer
  | 'abandoned'; // the player stopped: says nothing about the service

export interface Problem {
  readonly code: ProblemCode;
  /** One sentence without a full stop. */
  readonly message: string;
}

/** What became of one request. Times are of `performance.now()`. */
export interface Exchange {
  /** The player began: it asked for the connection, or wrote to one that was there. */
  readonly startedAt: number;
  /** The connection was there; `startedAt` if it was before. NaN if it never was. */
  readonly connectedAt: number;
  /** The whole answer was read, or the problem was seen. */
  readonly endedAt: number;
  /** 0 if there is no answer. */
  readonly status: number;
  readonly body: string;
  readonly problem: Problem | undefined;
}

// A read fills it and is parsed before the next one: sockets of one thread never need two at once.
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
  /** What went wrong while no request was under way. */
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
    // The constructor takes it too, which the types don't know.
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
      // If this thread was held up, the answer may be there and not read yet: look first.
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
