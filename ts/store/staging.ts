// Where records are encoded, one behind the other in the layout the addon takes, until the turn of
// the event loop ends and all of them go down in one call.

/** The addon's SubmittedRecord: length and count of the unit's records, both u32. */
export const headerBytes = 8;
/** Above this much the bytes go down before the turn ends, so that the disk can begin. */
const submitAboveBytes = 1 << 20;

/** A buffer with a position; encoders write at `at` and move it. */
export class Staging {
  readonly bytes: Buffer;
  readonly view: DataView;
  at = 0;

  /** `recordBytesMax`: of one record; `unitBytesMax`: of a whole batch. */
  constructor(recordBytesMax: number, unitBytesMax: number) {
    // Room for a unit and one record more than it may have, behind what is not submitted yet.
    const size = submitAboveBytes + unitBytesMax + recordBytesMax + 4096;
    const memory = new ArrayBuffer(size);
    this.bytes = Buffer.from(memory);
    this.view = new DataView(memory);
  }

  /** Whether it is time to submit. */
  get full(): boolean {
    return this.at >= submitAboveBytes;
  }

  /** Completes the record that begins at `start`: its header, and zeros up to a multiple of 8. */
  finish(start: number, unitRecords: number): void {
    const { view } = this;
    view.setUint32(start, this.at - start - headerBytes, true);
    view.setUint32(start + 4, unitRecords, true);
    while ((this.at & 7) !== 0) view.setUint8(this.at++, 0);
  }
}
