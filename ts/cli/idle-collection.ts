// Garbage collection in a process that runs a service.
import { setFlagsFromString } from 'node:v8';

/**
 * Makes V8 collect garbage only when the heap needs room. Otherwise it would also do so in idle moments some
 * seconds after the start, on all threads at once, and use more CPU than a container with a tenth of a CPU
 * has in two periods of its limit. Without incremental marking there is nothing to begin in idle moments. A
 * service's heap is small and hardly grows, since its traffic never enters JavaScript.
 */
export function collectWhenNeeded(): void {
  setFlagsFromString('--no-incremental-marking');
}
