// A database process under strace(1), which records its system calls and can delay them or make them fail.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { RunningProgram } from '#espora/lab/program.js';
import { mainPath } from '../helpers/espora.js';
import { halt, resume } from '../helpers/process.js';
import { cleanEnvironment } from '../helpers/program.js';
import { parseTrace, straceMissing } from './strace.js';
import type { TracedCall } from './strace.js';

/** `test.serial`, or its `skip` after a line with the reason. */
export function whereStraceWorks(file: string): typeof test.serial | typeof test.serial.skip {
  const missing = straceMissing();
  if (missing === undefined) return test.serial;
  process.stderr.write(`${file}: skipped: ${missing}\n`);
  return test.serial.skip;
}

/** A running database. */
export interface TracedDatabase {
  readonly path: string;
  /** Its exit code, when it has ended. */
  readonly ended: Promise<number | null>;
  /** Its output on stderr so far. */
  stderr(): string;
  /** Stops all its threads (SIGSTOP) until `resume`. */
  halt(): Promise<void>;
  /** Continues them. */
  resume(): Promise<void>;
  /** Stops it as Ctrl-C does; resolves with its calls in the order of their returns. */
  stop(): Promise<TracedCall[]>;
}

/** Starts a database and waits until it is ready; it ends with the test. `inject` is strace's -e inject. */
export async function startTraced(
  t: ExecutionContext,
  directory: string,
  inject?: string,
  environment: Record<string, string> = {},
): Promise<TracedDatabase> {
  const path = join(directory, 'db.sock');
  const trace = join(directory, 'trace');
  const calls = 'trace=pwrite64,fdatasync,fsync,fallocate,sendto,sendmsg,recvfrom';
  const traced = new RunningProgram(
    'strace',
    [
      ...['-f', '-o', trace, '-s', '64', '-e', calls, '-e', 'signal=none'],
      ...(inject === undefined ? [] : ['-e', `inject=${inject}`]),
      ...[process.execPath, mainPath, 'database'],
    ],
    {
      env: {
        ...cleanEnvironment(),
        ...environment,
        UNIX_SOCKET: path,
        ESPORA_DATA: join(directory, 'data'),
      },
    },
  );
  const { child } = traced;
  const ended = traced.ended.then(({ exitCode }) => exitCode);
  const databasePid = async (): Promise<number> => {
    const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    return Number(children.trim().split(' ')[0]);
  };
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    process.kill(await databasePid(), 'SIGKILL');
    await ended;
  });
  if ((await traced.heard(() => traced.lines[0])) === undefined) {
    throw new Error(`the database ended with ${await ended}: ${traced.stderr}`);
  }
  return {
    path,
    ended,
    stderr: () => traced.stderr,
    async halt() {
      await halt(t, await databasePid());
    },
    async resume() {
      resume(await databasePid());
    },
    async stop() {
      // The database is strace's child, and strace does not forward signals.
      process.kill(await databasePid(), 'SIGTERM');
      await ended;
      return parseTrace(await readFile(trace, 'utf8'));
    },
  };
}

/** The bytes of a transaction's request. */
export function post(id: number, tipo: string, valor: number, descricao: string): Buffer {
  const body = JSON.stringify({ valor, tipo, descricao });
  return Buffer.from(
    `POST /clientes/${id}/transacoes HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}

/** The bytes of a statement's request. */
export function get(id: number): Buffer {
  return Buffer.from(`GET /clientes/${id}/extrato HTTP/1.1\r\nHost: x\r\n\r\n`);
}

/** Milliseconds. */
export function wait(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}
