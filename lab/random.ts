// Pseudo-random numbers (sfc32), the same for the same seed, so that a run can be repeated.

/** A repeatable source of uniform numbers. */
export class Random {
  #a = 0x9e3779b9;
  #b = 0x243f6a88;
  #c: number;
  #counter = 1;

  /** `seed`: any whole number; its lower 32 bits count. */
  constructor(seed: number) {
    this.#c = seed | 0;
    for (let warmUp = 0; warmUp < 16; warmUp++) this.#next();
  }

  /** A whole number from 0 to `bound` - 1; `bound` at most 2^32. */
  below(bound: number): number {
    return Math.floor((this.#next() / 2 ** 32) * bound);
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }
}
