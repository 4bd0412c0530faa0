// Flags that are whole numbers and no settings of a service.
import { invalid } from '../errors.js';

/** `{ [name]: value }` for a flag's text; nothing without one. Throws `ERR_ESPORA_INVALID`. */
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
