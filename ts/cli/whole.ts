// Flags that are whole numbers and not options of the table.
import { invalid } from '../errors.js';

/** `{ [name]: value }` for a flag's text; empty if it was not given. Throws `ERR_ESPORA_INVALID`. */
export function whole<Name extends string>(
  flag: string,
  text: string | undefined,
  name: Name,
): Partial<Record<Name, number>> {
  if (text === undefined) return {};
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw invalid(`${flag} must be a whole number from 0 to 2^53-1, not "${text}"`);
  }
  return { [name]: value } as Record<Name, number>;
}
