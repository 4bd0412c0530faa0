// `espora inspect`: shows what is in a store, without changing it, even while a service runs.
import { loadNative } from '../addon.js';
import { toEsporaError } from '../errors.js';
import type { NativeInspectOptions, NativeStoreItem } from '../native.js';
import {
  damagedExitCode,
  enough,
  jsonText,
  printError,
  printInStep,
  printShown,
  stopIfNobodyReads,
} from './output.js';
import { whole } from './whole.js';
import { optionsFor, type Flags } from './sources.js';
import { plainItem } from './store-report.js';

export interface InspectFlags extends Flags {
  readonly from?: string;
  readonly limit?: string;
  /** False for --no-frames. */
  readonly frames?: boolean;
  /** False for --no-records. */
  readonly records?: boolean;
}

/** Prints one line per item of the store. Resolves with the exit code, 3 for damage; never rejects. */
export async function inspect(flags: InspectFlags): Promise<number> {
  const { from, limit, frames, records, ...shared } = flags;
  let damaged = false;
  try {
    const { values } = optionsFor('espora inspect', 'inspect', shared);
    const options: NativeInspectOptions = {
      ...whole('--from', from, 'from'),
      ...whole('--limit', limit, 'limit'),
      frames: frames !== false,
      records: records !== false,
    };
    const line = flags.json === true ? jsonText : plainItem;
    printInStep();
    await loadNative().inspectStore(values.data, options, (items: NativeStoreItem[]) => {
      stopIfNobodyReads();
      for (const item of items) printShown(line(item));
      damaged ||= items.some(({ severity }) => severity === 'damage');
    });
    return damaged ? damagedExitCode : 0;
  } catch (error) {
    if (error === enough) return damaged ? damagedExitCode : 0;
    return printError('espora inspect', toEsporaError(error));
  }
}
