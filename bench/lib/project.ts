// Where things are in the checkout that this file was compiled in (.build/bench/lib).

import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** An absolute path from one relative to the project's root. */
export const at = (path: string): string =>
  fileURLToPath(new URL(`../../../${path}`, import.meta.url));
