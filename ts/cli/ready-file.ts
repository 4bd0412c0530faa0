// The file that exists while a service serves its clients. It says how to check that, from the settings in
// force: the image's health check (docker/healthcheck.c) reads only this file. Each line is a word and its
// value; the address comes last, because it may contain anything, up to the end of the file.
import { lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { EsporaError } from '../errors.js';
import type { Listening } from '../services/service.js';

const firstLine = 'espora is ready';

// An account that no store can have: a database that serves answers 404, and one that does not 503.
const question = { path: '/clientes/0/extrato', status: 404 } as const;

/** The address at which a client on this machine reaches a service that listens on `address`. */
function nearby(address: string): string {
  const isTcp = /^[^/@]*:\d+$/.test(address);
  if (!isTcp) return address.startsWith('@') ? address : resolve(address);
  return address.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
}

/** The file's text. `owesHeader`: whether a client from an address must send a PROXY header. */
export function readyText(
  { addresses }: Listening,
  owesHeader: (address: string) => boolean,
): string {
  const at = nearby(addresses[0]!);
  return [
    firstLine,
    `pid ${String(process.pid)}`,
    `proxy ${owesHeader(at) ? 'yes' : 'no'}`,
    `ask ${question.path}`,
    `expect ${String(question.status)}`,
    `address ${at}`,
    '',
  ].join('\n');
}

function removeIfThere(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The next call reports why.
  }
}

export class ReadyFile {
  readonly #path: string;

  /**
   * Removes the file of an earlier process. Throws ERR_ESPORA_EXISTS if something else is there, and another
   * EsporaError if the file cannot be removed.
   */
  constructor(path: string) {
    this.#path = path;
    if (this.#text() === undefined) return;
    try {
      rmSync(path, { force: true });
    } catch (error) {
      throw this.#failure('removed, and is from an earlier life', error);
    }
  }

  /** Writes the file atomically. Throws an EsporaError if that fails. */
  write(text: string): void {
    const temporary = `${this.#path}.${String(process.pid)}`;
    removeIfThere(temporary);
    try {
      writeFileSync(temporary, text, { flag: 'wx', mode: 0o644 });
      renameSync(temporary, this.#path);
    } catch (error) {
      removeIfThere(temporary);
      throw this.#failure('written', error);
    }
  }

  /** Removes it, if it is still this process's; never throws. */
  remove(): void {
    try {
      const ours = this.#text()
        ?.split('\n')
        .includes(`pid ${String(process.pid)}`);
      if (ours === true) rmSync(this.#path, { force: true });
    } catch {
      // It belongs to another process.
    }
  }

  #failure(what: string, error: unknown): EsporaError {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    const denied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
    return new EsporaError(
      denied ? 'ERR_ESPORA_PERMISSION' : 'ERR_ESPORA_IO',
      `the ready file ${this.#path} cannot be ${what} (${code})`,
    );
  }

  /** The file's text; undefined if there is none. Throws ERR_ESPORA_EXISTS if something else is there. */
  #text(): string | undefined {
    let text: string | undefined;
    try {
      if (lstatSync(this.#path).isFile()) text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined;
      throw this.#failure('looked at', error);
    }
    if (text?.startsWith(`${firstLine}\n`) === true) return text;
    throw new EsporaError(
      'ERR_ESPORA_EXISTS',
      `the ready file ${this.#path} cannot be made: something else is there`,
    );
  }
}
