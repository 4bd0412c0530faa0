// `espora inspect`: shows what is in a store, without changing it, even while a service runs.
import { damagedExitCode, jsonText, printShown } from './output.js';
import { optionsFor, type Flags } from './sources.js';
import { plainItem } from './store-report.js';
import { walkStore } from './walk.js';
import { whole } from './whole.js';

export interface InspectFlags extends Flags {
  readonly from?: string;
  readonly limit?: string;
  /** False for --no-frames. */
  readonly frames?: boolean;
  /** False for --no-records. */
  readonly records?: boolean;
}

/** Prints one line per item of the store. Resolves with the exit code, 3 for damage. */
export async function inspect(flags: InspectFlags): Promise<number> {
  const { from, limit, frames, records, ...shared } = flags;
  const { values } = optionsFor('espora inspect', 'inspect', shared);
  const options = { from: whole('--from', from), limit: whole('--limit', limit), frames, records };
  const line = flags.json === true ? jsonText : plainItem;
  let damaged = false;
  await walkStore(values.data, options, (items) => {
    for (const item of items) printShown(line(item));
    damaged ||= items.some(({ severity }) => severity === 'damage');
  });
  return damaged ? damagedExitCode : 0;
}
