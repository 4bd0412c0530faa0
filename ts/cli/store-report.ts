// The addon's reports about a store as text.
import type { NativeFinding, NativeStoreItem, NativeVerifyReport } from '../native.js';
import { oneLine } from '../shown.js';
import { jsonText, number } from './output.js';

/** `first seq` for `firstSeq`. */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** A value on one line; times (microseconds since 1970) as RFC 3339. */
function shown(name: string, value: unknown): string {
  if (typeof value === 'number') {
    const date = new Date(value / 1000);
    // A time outside the range of dates is shown as a number.
    if (name.endsWith('Us') && value > 0 && !Number.isNaN(date.getTime())) {
      const [seconds = ''] = date.toISOString().split('.');
      return `${seconds}.${String(value % 1_000_000).padStart(6, '0')}Z`;
    }
    return number(value);
  }
  return typeof value === 'string' && name !== 'descricao' ? oneLine(value) : jsonText(value);
}

/** A finding in a store, on one line. */
export function findingLine({ severity, text }: Partial<NativeFinding>): string {
  return oneLine(`${String(severity)}: ${String(text)}`);
}

/** The size of a copy, on one line. */
export function copiedLine(to: string, records: number, lastSeq: number): string {
  return oneLine(`${to}: ${number(records)} records, up to sequence ${number(lastSeq)}`);
}

/** One item of a store, on one line. */
export function plainItem(item: NativeStoreItem): string {
  const { kind, ...rest } = item;
  if (kind === 'finding') return findingLine(rest);
  const facts = Object.entries(rest)
    .map(([name, value]) => `${words(name).replace(/ us$/, '')} ${shown(name, value)}`)
    .join(', ');
  const indent =
    { store: '', snapshot: '', segment: '', batch: '  ', dense: '  ', seal: '  ' }[kind] ?? '    ';
  return `${indent}${kind}  ${facts}`;
}

/** The facts of a report as rows of name and value, with the number of findings. */
export function factRows(report: NativeVerifyReport): readonly (readonly string[])[] {
  const { store, findings, ok, ...facts } = report;
  return [
    ['sound', ok ? 'yes' : 'NO'],
    ...Object.entries({ ...store, ...facts }).map(([name, value]) => [
      words(name).replace(/ us$/, ''),
      shown(name, value),
    ]),
    ['findings', findings.length === 0 ? 'none' : number(findings.length)],
  ];
}
