// Files with JSON, and names that are repeated in it: JSON.parse silently keeps the last of two members with
// the same name.
import { readFileSync } from 'node:fs';
import { invalid } from '../errors.js';

/** The text of a file; `what` says in the error which one it is. Throws ERR_ESPORA_INVALID. */
export function readText(what: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw invalid(`${what} ${path} cannot be read (${code})`);
  }
}

const tokens = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/g;

/** The first name that an object in `json`, which must be valid, has twice; undefined if there is none. */
export function repeatedName(json: string): string | undefined {
  // One set for each open object, null for each open array.
  const open: (Set<string> | null)[] = [];
  let last: string | undefined;
  for (const [token] of json.matchAll(tokens)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(null);
    else if (token === '}' || token === ']') open.pop();
    else if (token.startsWith('"')) last = token;
    else if (token === ':' && last !== undefined) {
      // A name may be written in several ways, with escapes.
      const name = JSON.parse(last) as string;
      const names = open.at(-1);
      if (names?.has(name) === true) return name;
      names?.add(name);
    }
  }
  return undefined;
}
