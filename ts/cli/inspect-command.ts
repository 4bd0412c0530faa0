// `espora inspect`: shows what is in a store without changing it; works beside a running service.
import { loadNative } from '../native.js';
import { resolveOptions } from '../options/resolve.js';
import { print, printError } from './output.js';
import { sourcesOf } from './sources.js';
import type { Flags } from './sources.js';
import { parseObject, readReport, shown } from './store-report.js';

/** Prints one line per thing in the store. Resolves with the exit code; never rejects. */
export async function inspect(flags: Flags): Promise<number> {
  try {
    const { values } = resolveOptions('inspect', sourcesOf(flags));
    const report = await readReport(() => loadNative().inspectStore(values.data, {}));
    const lines = report.split('\n').filter((line) => line !== '');
    for (const line of lines) print(flags.json === true ? line : plainLine(line));
    return 0;
  } catch (error) {
    return printError('espora inspect', error);
  }
}

function plainLine(json: string): string {
  return Object.entries(parseObject(json))
    .map(([name, value]) => `${name} ${shown(value)}`)
    .join('  ');
}
