// Where units are encoded and lie one behind the other in the layout the addon takes, until the turn
// of the event loop ends and all that are whole go down in one call.
//
//   | whole units     | the unit that is encoded
//   0               at                        own.at
//
// Code of the caller that runs while a unit is encoded finds `at` before it. What that code appends is
// encoded elsewhere and goes down at once; what it submits moves `at`, and the unit follows when it
// is whole.
import type { Buffer } from 'node:buffer';
import { Unit, unitRoomBytes } from './unit.js';

/** Above this much the bytes go down before the turn ends, so that the disk can begin. */
const submitAboveBytes = 1 << 20;

/** Whole units, `at` bytes of them, and room for one more. */
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

  /** An empty unit, for the caller alone until `end`. */
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

  /** Takes a unit that is whole; false if it lies elsewhere and has to go down by itself. */
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

  /** Lets go of the memory; nothing is staged. */
  release(): void {
    this.#own = undefined;
    this.#spare = undefined;
  }
}
