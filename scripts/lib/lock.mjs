// One build at a time in one folder of a checkout. The lock is a name in Linux's abstract socket namespace: the
// kernel drops it when its last holder ends, however that happens, so there is no stale lock to find.

import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { Failure } from './run.mjs';
import { root } from './project.mjs';

function lockName(scope) {
  const where = createHash('sha256')
    .update(`${realpathSync(root)}\0${scope}`)
    .digest('hex');
  return `\0espora-${process.getuid()}-${where.slice(0, 32)}`;
}

/** The listening server, or undefined where somebody else has the name. */
function tryHold(path) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', (error) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(new Failure(`The lock around the build can't be taken: ${error.message}.`));
    });
    server.listen({ path }, () => resolve(server));
  });
}

/** Resolves when the present holder is gone: the connection to it ends then, and not before. */
function holderGone(path) {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.on('error', () => {}); // a reset or a refusal: gone as well
    socket.on('close', resolve);
    socket.resume();
  });
}

/**
 * Runs `work` while nobody else in this checkout runs anything under the same `scope`, waiting for them
 * first, and saying so. `work` gets the lock's descriptor: given to a child process it keeps the lock
 * held for as long as that child lives, so a build whose parent was killed is waited for as well.
 */
export async function locked(scope, work) {
  const path = lockName(scope);
  let server = await tryHold(path);
  if (server === undefined) {
    process.stderr.write(`Waiting for another run in this checkout to end (${scope}).\n`);
  }
  while (server === undefined) {
    await holderGone(path);
    server = await tryHold(path);
  }
  const waiting = new Set();
  server.on('connection', (socket) => {
    waiting.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => waiting.delete(socket));
    socket.resume();
  });
  server.unref();
  try {
    return await work(server._handle?.fd);
  } finally {
    await new Promise((resolve) => {
      server.close(resolve);
      for (const socket of waiting) socket.destroy();
    });
  }
}
