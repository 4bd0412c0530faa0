// When V8 collects garbage in a process that runs a service.
import { setFlagsFromString } from 'node:v8';

/**
 * Garbage is collected when the heap needs room, and not for its own sake in quiet moments: some
 * seconds after the start V8 would do so a few times, on all threads at once, each time for more CPU
 * than a container with a tenth of one has in two periods of its limit.
 * Without incremental marking there is nothing that it could begin then. The heap of a service is
 * small and hardly grows: its traffic never enters JavaScript.
 */
export function collectWhenNeeded(): void {
  setFlagsFromString('--no-incremental-marking');
}
