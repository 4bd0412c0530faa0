// The admin socket of a balancer: HTTP with JSON bodies on a unix socket that only its owner can open.
//
//   GET    /stats                 all counters
//   GET    /upstreams             counters of the upstreams
//   POST   /upstreams             { address, weight? }: adds one
//   PATCH  /upstreams/ADDRESS     { state?, weight? }
//   DELETE /upstreams/ADDRESS
//
// ADDRESS is percent-encoded. Errors are { code, message } with a status of 4xx or 5xx.
import { chmodSync, existsSync, lstatSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { EsporaError, invalid, type ErrorCode } from '../errors.js';
import type { Balancer } from '../services/balancer.js';
import type { WeightedAddress } from '../options/kinds.js';

/** The part of a balancer that an admin socket uses. */
export type AdminTarget = Pick<
  Balancer,
  'stats' | 'setUpstream' | 'addUpstream' | 'removeUpstream'
>;

export interface AdminServer {
  close(): void;
}

const bodyBytesMax = 64 * 1024;

const statuses: Partial<Record<ErrorCode, number>> = {
  ERR_ESPORA_INVALID: 400,
  ERR_ESPORA_NOT_FOUND: 404,
  ERR_ESPORA_EXISTS: 409,
  ERR_ESPORA_TOO_LARGE: 413,
  ERR_ESPORA_OVERLOADED: 409,
  ERR_ESPORA_CLOSED: 503,
};

const cannotServe = (code: ErrorCode, path: string, why: string): EsporaError =>
  new EsporaError(code, `the admin socket ${path} cannot be served: ${why}`, {
    ...(code === 'ERR_ESPORA_ADDRESS_IN_USE'
      ? { remedy: 'stop it or choose another path with --admin-socket' }
      : {}),
  });

/** Whether a process listens on the socket. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT');
    });
  });
}

/** Removes a dead socket at `path`; anything else there is an error. */
async function clear(path: string): Promise<void> {
  if (!existsSync(path)) {
    // If the directory is missing, listen() would report a permission error.
    if (existsSync(dirname(path))) return;
    throw cannotServe('ERR_ESPORA_NOT_FOUND', path, 'its directory does not exist');
  }
  if (!lstatSync(path).isSocket()) {
    throw cannotServe('ERR_ESPORA_EXISTS', path, 'something that is no socket is there');
  }
  if (await isAlive(path)) {
    throw cannotServe('ERR_ESPORA_ADDRESS_IN_USE', path, 'another process listens there');
  }
  rmSync(path, { force: true });
}

/** Serves `target` on the unix socket `path`. Rejects with an EsporaError if it cannot listen. */
export async function serveAdmin(path: string, target: AdminTarget): Promise<AdminServer> {
  await clear(path);
  const server = createServer((request, response) => {
    answer(target, request).then(
      ([status, body]) => send(response, status, body),
      (error: unknown) => {
        const known = error instanceof EsporaError;
        const code = known ? error.code : 'ERR_ESPORA_FAILED';
        const message = error instanceof Error ? error.message : String(error);
        send(response, known ? (statuses[code] ?? 500) : 500, { code, message });
      },
    );
  });
  server.unref();
  await new Promise<void>((resolve, reject) => {
    server.once('error', ({ code, message }: NodeJS.ErrnoException) => {
      const denied = code === 'EACCES' || code === 'EPERM';
      reject(cannotServe(denied ? 'ERR_ESPORA_PERMISSION' : 'ERR_ESPORA_IO', path, message));
    });
    // bind(2) is called in listen(), so the socket never exists with other permissions.
    const before = process.umask(0o177);
    try {
      server.listen(path, resolve);
    } finally {
      process.umask(before);
    }
  });
  chmodSync(path, 0o600);
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`;
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
  response.writeHead(status, headers).end(text);
}

async function readJson(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bodyBytesMax)
      throw new EsporaError(
        'ERR_ESPORA_TOO_LARGE',
        `the body must have at most ${String(bodyBytesMax)} bytes, this one has ${String(bytes)} or more`,
      );
    pieces.push(piece);
  }
  let body: unknown;
  try {
    body = JSON.parse(Buffer.concat(pieces).toString());
  } catch {
    throw invalid('the body is not JSON');
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalid('the body must be a JSON object');
  }
  return body as Readonly<Record<string, unknown>>;
}

function newUpstream({
  address,
  weight,
  ...others
}: Readonly<Record<string, unknown>>): WeightedAddress {
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined) {
    throw invalid(`an upstream has no ${unknown}: give address, weight`);
  }
  if (typeof address !== 'string') {
    throw invalid('address must be text: host:port or a path');
  }
  if (weight !== undefined && typeof weight !== 'number') {
    throw invalid('weight must be a number');
  }
  return { address, weight };
}

function addressOf(path: string): string | undefined {
  if (!path.startsWith('/upstreams/')) return undefined;
  try {
    return decodeURIComponent(path.slice('/upstreams/'.length));
  } catch {
    throw invalid('the address in the path is not percent-encoded');
  }
}

async function answer(
  target: AdminTarget,
  request: IncomingMessage,
): Promise<readonly [status: number, body: unknown]> {
  const path = (request.url ?? '').split('?')[0]!;
  const address = addressOf(path);
  switch (`${request.method ?? ''} ${address === undefined ? path : 'upstream'}`) {
    case 'GET /stats':
      return [200, target.stats() ?? {}];
    case 'GET /upstreams':
      return [200, target.stats()?.upstreams ?? []];
    case 'POST /upstreams':
      await target.addUpstream(newUpstream(await readJson(request)));
      return [201, {}];
    case 'PATCH upstream':
      await target.setUpstream(address!, await readJson(request));
      return [200, {}];
    case 'DELETE upstream':
      await target.removeUpstream(address!);
      return [200, {}];
    default:
      throw new EsporaError('ERR_ESPORA_NOT_FOUND', `there is no ${request.method ?? ''} ${path}`);
  }
}
