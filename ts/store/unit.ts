// The memory in which the records of one append or batch are encoded. Nothing else writes to it during
// that time: encoding may run code of the caller (getters, proxies, iterators), and that code may append,
// flush, close or end the process.
import { Buffer } from 'node:buffer';
import { invalid } from '../errors.js';

/** The addon's SubmittedRecord: the record's length and the number of the unit's records, both u32. */
const headerBytes = 8;
/** Most bytes of a batch on disk, and therefore an upper bound for a unit. */
export const unitBytesMax = 1 << 20;
/** The largest record: it fits one batch of 1 MiB on disk. */
export const recordBytesMax = unitBytesMax - 128;
/** Room for the largest unit and one more record: a unit is checked after each record. */
export const unitRoomBytes = unitBytesMax + recordBytesMax + 4096;

/** A buffer with a position; encoders write at `at` and move it. */
export class Unit {
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Where the unit's first record begins. */
  start = 0;
  at = 0;

  constructor(memory: ArrayBuffer = new ArrayBuffer(unitRoomBytes)) {
    this.bytes = Buffer.from(memory);
    this.view = new DataView(memory);
  }

  get size(): number {
    return this.at - this.start;
  }

  /** An empty unit that begins at `start`. */
  reset(start: number): this {
    this.start = start;
    this.at = start;
    return this;
  }

  /**
   * Encodes one more record: its header, its bytes, zeros up to a multiple of 8. `records` is the number
   * of the unit's records if this is the first of them, else 0.
   */
  add<T>(encode: (to: Unit, value: T) => void, value: T, records: number): void {
    const begin = this.at;
    this.at = begin + headerBytes;
    encode(this, value);
    const { at: end, view } = this;
    if (!(end >= begin + headerBytes && end <= view.byteLength - 8 && Number.isInteger(end))) {
      throw invalid(
        'an encoder must leave `at` behind what it wrote, and may write at most bytesMax bytes',
      );
    }
    view.setUint32(begin, end - begin - headerBytes, true);
    view.setUint32(begin + 4, records, true);
    while ((this.at & 7) !== 0) view.setUint8(this.at++, 0);
  }

  /** Sets the number of the unit's records, which was unknown at the first of them. */
  close(records: number): void {
    this.view.setUint32(this.start + 4, records, true);
  }
}
