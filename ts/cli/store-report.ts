// Reports of the addon about a store, for people: every fact on a line of its own.
import { EsporaError, toEsporaError } from '../errors.js';
import { number } from './output.js';

/** Runs one of the addon's readers and parses what it says. Throws an EsporaError. */
export async function readReport(read: () => Promise<string>): Promise<string> {
  try {
    return await read();
  } catch (error) {
    throw toEsporaError(error);
  }
}

/** `first seq` for `firstSeq`. */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** A value on one line. */
export function shown(value: unknown): string {
  if (typeof value === 'number') return number(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The facts of a report as rows of name and value; lists stay out, they have their own place. */
export function factRows(
  report: Readonly<Record<string, unknown>>,
): readonly (readonly string[])[] {
  return Object.entries(report)
    .filter(([, value]) => !Array.isArray(value))
    .map(([name, value]) => [words(name), shown(value)]);
}

/** One JSON object of a report. Throws if the addon and this program disagree. */
export function parseObject(json: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(json);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new EsporaError(
    'ERR_ESPORA_ADDON',
    'the addon gave a report that this program cannot read',
  );
}
