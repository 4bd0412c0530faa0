// The memory in which the units of one turn of the event loop are encoded, one behind the other in the
// layout that the addon takes. At the end of the turn all complete units are submitted in one call.
//
//   | complete units  | the unit being encoded
//   0                 at                        own.at
//
// Encoding may run code of the caller, which may append or submit. Such an append is encoded in another
// unit and submitted at once. A submit moves `at`; the outer unit is then moved there when it is complete.
import type { Buffer } from 'node:buffer';
import { Unit, unitRoomBytes } from './unit.js';

/** Above this size, units are submitted before the turn ends, so that the disk can start. */
const submitAboveBytes = 1 << 20;

/** `at` bytes of complete units, and room for one more. */
export class Staging {
  #own: Unit | undefined;
  #busy = false;
  #spare: Unit | undefined;
  at = 0;

  get bytes(): Buffer {
    return this.#own!.bytes;
  }

  /** Whether it is time to submit. */
  get full(): boolean {
    return this.at >= submitAboveBytes;
  }

  /** An empty unit, which belongs to the caller until `end`. */
  begin(): Unit {
    if (!this.#busy) {
      this.#busy = true;
      this.#own ??= new Unit(new ArrayBuffer(submitAboveBytes + unitRoomBytes));
      return this.#own.reset(this.at);
    }
    const unit = this.#spare ?? new Unit();
    this.#spare = undefined;
    return unit.reset(0);
  }

  /** Adds a complete unit; false if it was encoded elsewhere and must be submitted by itself. */
  take(unit: Unit): boolean {
    if (unit !== this.#own) return false;
    if (unit.start !== this.at) unit.bytes.copyWithin(this.at, unit.start, unit.at);
    this.at += unit.size;
    return true;
  }

  /** Gives the unit's memory back, whether it was taken or not. */
  end(unit: Unit): void {
    if (unit === this.#own) this.#busy = false;
    else this.#spare = unit;
  }

  /** Frees the memory; nothing may be staged. */
  release(): void {
    this.#own = undefined;
    this.#spare = undefined;
  }
}
