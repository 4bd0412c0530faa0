// Directories for tests below os.tmpdir(), removed at the end.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';

/** A new empty directory; removed with its contents when the test ends. */
export function temporaryDirectory(t: ExecutionContext<unknown>): string {
  const directory = mkdtempSync(join(tmpdir(), 'espora-test-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}
