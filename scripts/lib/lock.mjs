// One build at a time in one folder of a checkout. The lock is a name in Linux's abstract socket namespace: the
// kernel removes it when its last holder ends in any way, so there are no stale locks.

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

/** The listening server, or undefined if another process has the name. */
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

/** Resolves when the current holder has ended, which ends the connection to it. */
function holderGone(path) {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.on('error', () => {}); // after a reset or a refusal, it has ended too
    socket.on('close', resolve);
    socket.resume();
  });
}

/**
 * Runs `work` when no other process in this checkout holds the same `scope`; prints a line if it must wait.
 * `work` gets the lock's descriptor: a child process that inherits it keeps the lock, so a build whose parent
 * was killed is waited for as well.
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
