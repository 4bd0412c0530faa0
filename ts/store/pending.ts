// Appends and batches that are not on disk yet, oldest first. Plain arrays with an index of the first
// entry, because every append goes through here.

type Resolve = (value: never) => void;
type Reject = (error: unknown) => void;

export class Pending {
  #resolves: Resolve[] = [];
  #rejects: Reject[] = [];
  /** 0 for an append, else the records of a batch. */
  #counts: number[] = [];
  #sizes: number[] = [];
  #head = 0;
  /** Bytes of all entries. */
  bytes = 0;

  /** Number of unsettled entries. */
  get size(): number {
    return this.#counts.length - this.#head;
  }

  push(resolve: Resolve, reject: Reject, count: number, bytes: number): void {
    this.#resolves.push(resolve);
    this.#rejects.push(reject);
    this.#counts.push(count);
    this.#sizes.push(bytes);
    this.bytes += bytes;
  }

  /** Resolves the `units` oldest entries; the first of their records has sequence number `firstSeq`. */
  resolve(units: number, firstSeq: number, time: number, durableSeq: number): void {
    let seq = firstSeq;
    const end = this.#head + units;
    for (let at = this.#head; at < end; at++) {
      const count = this.#counts[at]!;
      const resolve = this.#resolves[at] as (value: unknown) => void;
      if (count === 0) {
        resolve({ seq, time, durable: seq <= durableSeq });
        seq += 1;
      } else {
        const lastSeq = seq + count - 1;
        resolve({ firstSeq: seq, lastSeq, count, time, durable: lastSeq <= durableSeq });
        seq += count;
      }
    }
    this.#drop(end);
  }

  /** Rejects the `units` oldest entries. */
  reject(units: number, error: unknown): void {
    const end = this.#head + units;
    for (let at = this.#head; at < end; at++) this.#rejects[at]!(error);
    this.#drop(end);
  }

  #drop(end: number): void {
    for (let at = this.#head; at < end; at++) this.bytes -= this.#sizes[at]!;
    this.#head = end;
    const { length } = this.#counts;
    if (end < length && (end < 4096 || end < length / 2)) return;
    this.#resolves = this.#resolves.slice(end);
    this.#rejects = this.#rejects.slice(end);
    this.#counts = this.#counts.slice(end);
    this.#sizes = this.#sizes.slice(end);
    this.#head = 0;
  }
}
