// Walks through a store for the commands that print what is in it.
import { loadNative } from '../addon.js';
import type { NativeInspectOptions, NativeStoreItem } from '../native.js';

/** Thrown by `onItems` to end a walk. */
export const enough = new Error('The walk ends here.');

/**
 * Calls `onItems` with the items of a store, some hundred at a time, until it throws `enough` or stdout is
 * closed. Output into a pipe waits until there is room, so that large output takes no memory.
 */
export async function walkStore(
  directory: string,
  options: NativeInspectOptions,
  onItems: (items: readonly NativeStoreItem[]) => void,
): Promise<void> {
  const { _handle: handle } = process.stdout as unknown as {
    _handle?: { setBlocking?: (on: boolean) => void };
  };
  handle?.setBlocking?.(true);
  let closed = false;
  process.stdout.once('error', () => {
    closed = true;
  });
  try {
    await loadNative().inspectStore(directory, options, (items) => {
      if (closed) throw enough;
      onItems(items);
    });
  } catch (error) {
    if (error !== enough) throw error;
  }
}
