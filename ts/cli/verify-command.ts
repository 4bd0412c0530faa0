// `espora verify`: checks a store without changing it; works beside a running service.
import { loadNative } from '../native.js';
import { resolveOptions } from '../options/resolve.js';
import { print, printError, printJson } from './output.js';
import { plainTable } from './plain-table.js';
import { sourcesOf } from './sources.js';
import type { Flags } from './sources.js';
import { factRows, parseObject, readReport } from './store-report.js';

/** Prints the report. Resolves with 0 if the store is sound; never rejects. */
export async function verify(flags: Flags): Promise<number> {
  try {
    const { values } = resolveOptions('verify', sourcesOf(flags));
    const report = parseObject(await readReport(() => loadNative().verifyStore(values.data)));
    if (flags.json === true) printJson(report);
    else print(plainTable([], factRows(report)));
    return report['ok'] === false ? 1 : 0;
  } catch (error) {
    return printError('espora verify', error);
  }
}
