// The file that is there while a service serves its clients. It says all that is needed to ask it
// whether it does, and is written by the service out of what it really runs with: the image's health
// check (docker/healthcheck.c) reads this file and no setting. Lines of a word and its value, the address
// last, which may hold anything up to the end of the file.
import {
  closeSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { EsporaError } from '../errors.js';
import type { Listening } from '../services/service.js';

const firstLine = 'espora is ready';

// An account that no store has: answered with 404 by a database that serves, through every hop, whichever
// accounts there are, and with 503 by one that does not.
const question = { path: '/clientes/0/extrato', status: 404 } as const;

/** Where a client of this machine asks a service that listens on `address`. */
function nearby(address: string): string {
  const isTcp = /^[^/@]*:\d+$/.test(address);
  if (!isTcp) return address.startsWith('@') ? address : resolve(address);
  return address.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
}

/** The file's text. `owesHeader`: whether a client that comes from an address owes a PROXY header. */
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
    // What comes next says why that is no place for it.
  }
}

/** The ready file of this process. */
export class ReadyFile {
  readonly #path: string;

  /**
   * Removes what an earlier life left there, which is not true any more. Throws ERR_ESPORA_EXISTS for
   * what is no ready file, and another EsporaError where it has to stay.
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

  /** Puts `text` there, whole or not at all. Throws an EsporaError where that cannot be. */
  write(text: string): void {
    const temporary = `${this.#path}.${String(process.pid)}`;
    removeIfThere(temporary);
    try {
      const file = openSync(temporary, 'wx', 0o644);
      try {
        writeSync(file, text);
      } finally {
        closeSync(file);
      }
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
      // Somebody else's by now.
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

  /** What is there, if anything is. Throws ERR_ESPORA_EXISTS for what is no ready file. */
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
