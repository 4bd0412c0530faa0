// Flags that are whole numbers and not options of the table.
import { invalid } from '../errors.js';

/** The number in a flag's text; undefined if it was not given. Throws `ERR_ESPORA_INVALID`. */
export function whole(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw invalid(`${flag} must be a whole number from 0 to 2^53-1, not "${text}"`);
}
