// The metronome's thread: sleeps until each instant and sends a message.
import { parentPort, workerData } from 'node:worker_threads';
import { monotonicMs } from './metronome.js';
import type { MetronomeData } from './metronome.js';

const { atMs, stopped } = workerData as MetronomeData;
const port = parentPort!;

/** True when the instant is reached, false if the metronome was stopped before. */
function sleepUntil(instantMs: number): boolean {
  for (;;) {
    const leftMs = instantMs - monotonicMs();
    if (leftMs <= 0) return Atomics.load(stopped, 0) === 0;
    if (Atomics.wait(stopped, 0, 0, leftMs) !== 'timed-out') return false;
  }
}

port.once('message', (startAt: number) => {
  let last = Number.NEGATIVE_INFINITY;
  for (const instant of atMs) {
    if (instant === last) continue;
    last = instant;
    if (!sleepUntil(startAt + instant)) break;
    port.postMessage(0);
  }
  port.close();
});
port.postMessage(0);
