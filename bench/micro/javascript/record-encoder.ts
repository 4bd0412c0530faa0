// A ledger entry as a record in a batch, in plain JavaScript: the same bytes as the data plane's.
// Records lie on multiples of eight, so whole words can be written through an Int32Array, which is
// faster than a DataView; it takes the machine's byte order, as the data plane does (little-endian).

import type { Entry } from '../workload.js';

const headerBytes = 8;
const fixedBytes = 32;
const entryRecordType = 1;
const two32 = 2 ** 32;

/** Writes records one behind the other into `batch`, from the front again when it is full. */
export class RecordEncoder {
  readonly #batch: Buffer;
  readonly #words: Int32Array;
  #used = 0;

  /** `batch` begins at a multiple of four in its ArrayBuffer; its length is one of eight. */
  constructor(batch: Buffer) {
    this.#batch = batch;
    this.#words = new Int32Array(batch.buffer, batch.byteOffset, batch.byteLength / 4);
  }

  /** Returns how many bytes of the batch are used. */
  append(entry: Entry): number {
    const { description } = entry;
    const textBytes = utf8Bytes(description);
    const bytes = (fixedBytes + textBytes + 7) & ~7;
    const extent = headerBytes + bytes;
    if (this.#batch.length - this.#used < extent) this.#used = 0;
    const at = this.#used;
    const words = this.#words;

    const word = at >> 2;
    words[word] = bytes;
    words[word + 1] = entryRecordType; // type u16, flags u16
    words[word + 2] = entry.account;
    // kind, bytes of the description, bytes of the key, reserved
    words[word + 3] = (entry.credit ? 0x63 : 0x64) | (textBytes << 8);
    this.#setInteger(word + 4, entry.amount);
    this.#setInteger(word + 6, entry.balance);
    this.#setInteger(word + 8, entry.time);
    const end = (at + extent) >> 2;
    words[end - 2] = 0; // the padding is within the last eight bytes
    words[end - 1] = 0;
    this.#setText(at + headerBytes + fixedBytes, description, textBytes);
    this.#used = at + extent;
    return this.#used;
  }

  /** A safe integer as 64 bits in two's complement; a BigInt would cost an allocation. */
  #setInteger(word: number, value: number): void {
    const high = Math.floor(value / two32);
    this.#words[word] = value - high * two32;
    this.#words[word + 1] = high;
  }

  /** Below some twenty characters a loop beats the call into Node's native writer. */
  #setText(at: number, text: string, bytes: number): void {
    const batch = this.#batch;
    if (bytes === text.length) {
      for (let i = 0; i < bytes; i++) batch[at + i] = text.charCodeAt(i);
    } else {
      batch.write(text, at, 'utf8');
    }
  }
}

function utf8Bytes(text: string): number {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return Buffer.byteLength(text, 'utf8');
  }
  return text.length;
}
