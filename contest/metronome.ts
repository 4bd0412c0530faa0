// Calls back when the next arrivals are due. A timer of Node.js counts whole milliseconds and is 1 ms late
// at the median; a thread that sleeps on a futex and then sends a message is 0.15 ms late and takes the same
// CPU time.
import { Worker } from 'node:worker_threads';

/** The thread's parameters. */
export interface MetronomeData {
  /** When to tick, in milliseconds after the start, ascending; equal ones tick once. */
  readonly atMs: Float64Array<SharedArrayBuffer>;
  /** One cell: 1 when the metronome is stopped. */
  readonly stopped: Int32Array<SharedArrayBuffer>;
}

/** Milliseconds of a clock that all threads share (`performance.now()` differs between threads). */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export class Metronome {
  readonly #worker: Worker;
  readonly #stopped = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

  private constructor(atMs: Float64Array) {
    const shared = new Float64Array(new SharedArrayBuffer(atMs.byteLength));
    shared.set(atMs);
    this.#worker = new Worker(new URL('./metronome-worker.js', import.meta.url), {
      workerData: { atMs: shared, stopped: this.#stopped } satisfies MetronomeData,
    });
  }

  /** Resolves when its thread waits for the start. Rejects if no thread can be started. */
  static async create(atMs: Float64Array): Promise<Metronome> {
    const metronome = new Metronome(atMs);
    await new Promise<void>((resolve, reject) => {
      metronome.#worker.once('message', resolve);
      metronome.#worker.once('error', reject);
    });
    return metronome;
  }

  /** Starts to tick; the instants count from `startAt`, a time of this thread's `performance.now()`. */
  start(startAt: number, onTick: () => void): void {
    this.#worker.on('message', onTick);
    this.#worker.postMessage(monotonicMs() + startAt - performance.now());
  }

  /** Ends its thread. */
  async stop(): Promise<void> {
    Atomics.store(this.#stopped, 0, 1);
    Atomics.notify(this.#stopped, 0);
    await this.#worker.terminate();
  }
}
