// `espora verify`: checks a store, without changing it, even while a service runs.
import { loadNative } from '../addon.js';
import { damagedExitCode, print, printJson, printShown } from './output.js';
import { plainTable } from './plain-table.js';
import { optionsFor, type Flags } from './sources.js';
import { factRows, findingLine } from './store-report.js';

/** Prints the report. Resolves with 0 if the store is sound, 3 if not. */
export async function verify(flags: Flags): Promise<number> {
  const { values } = optionsFor('espora verify', 'verify', flags);
  const report = await loadNative().verifyStore(values.data);
  if (flags.json === true) {
    printJson(report);
  } else {
    print(plainTable([], factRows(report)));
    for (const finding of report.findings) printShown(findingLine(finding));
  }
  return report.ok ? 0 : damagedExitCode;
}
