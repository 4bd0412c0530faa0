// `espora backup` and `espora repair`: make a new store from another one, which is not changed.
import { loadNative } from '../addon.js';
import { invalid } from '../errors.js';
import type { NativeCopyReport } from '../native.js';
import { damagedExitCode, number, print, printJson, printLine, printShown } from './output.js';
import { optionsFor, type Flags } from './sources.js';
import { copiedLine, findingLine } from './store-report.js';

export interface CopyFlags extends Flags {
  readonly to?: string;
  /** Only of repair: a store of the same kind. */
  readonly like?: string;
}

async function copy(
  command: 'backup' | 'repair',
  flags: CopyFlags,
): Promise<NativeCopyReport & { readonly from: string; readonly to: string }> {
  const { to, like, ...shared } = flags;
  const { values } = optionsFor(`espora ${command}`, command, shared);
  if (to === undefined || to === '') {
    throw invalid(`--to is missing: espora ${command} needs a new directory for the new store`);
  }
  const report = await loadNative().copyStore(values.data, to, command === 'repair', like);
  return { from: values.data, to, ...report };
}

/** Copies a sound store. Resolves with the exit code. */
export async function backup(flags: CopyFlags): Promise<number> {
  const { from, to, records, lastSeq, findings } = await copy('backup', flags);
  if (flags.json === true) {
    printJson({ from, to, records, lastSeq, findings });
  } else {
    for (const finding of findings) printShown(findingLine(finding));
    printShown(copiedLine(to, records, lastSeq));
  }
  return 0;
}

const noneLost = (damaged: boolean): string =>
  damaged
    ? 'no record that the files speak of was given up, but the store was damaged: see above'
    : 'nothing was given up';

/**
 * Copies all that can be read, and reports what cannot. Resolves with the exit code, 3 if the store was
 * damaged, even if no record was lost.
 */
export async function repair(flags: CopyFlags): Promise<number> {
  const report = await copy('repair', flags);
  const { from, to, records, lastSeq, lost, losses, findings, damaged } = report;
  if (flags.json === true) {
    printJson({ from, to, records, lastSeq, lost, losses, findings });
  } else {
    for (const finding of findings) printShown(findingLine(finding));
    for (const { firstSeq, lastSeq: end, segment, block, reason } of losses) {
      const where = segment === 0 ? '' : ` (segment ${segment}, block ${block})`;
      const which = firstSeq === end ? `sequence ${firstSeq}` : `sequences ${firstSeq} to ${end}`;
      printLine(`given up: ${which}${where}: ${reason}`);
    }
    printShown(copiedLine(to, records, lastSeq));
    print(lost === 0 ? noneLost(damaged) : `${number(lost)} records were given up`);
  }
  return damaged ? damagedExitCode : 0;
}
