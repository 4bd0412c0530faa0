// `espora export`: writes a store's records to stdout, as JSON lines or CSV, even while a service runs.
// Typed records and those of the ledger are written with their fields, others as bytes.
import { loadNative } from '../addon.js';
import { invalid, toEsporaError } from '../errors.js';
import type { NativeStoreItem } from '../native.js';
import { oneLine } from '../shown.js';
import { recordOfSchema, type RecordType } from '../store/record.js';
import {
  damagedExitCode,
  enough,
  printData,
  printError,
  printInStep,
  printNote,
  stopIfNobodyReads,
} from './output.js';
import { optionsFor, type Flags } from './sources.js';
import { whole } from './whole.js';

export interface ExportFlags extends Flags {
  readonly from?: string;
  readonly to?: string;
  readonly limit?: string;
  readonly format?: string;
  readonly bytes?: string;
  /** False for --no-formulas. */
  readonly formulas?: boolean;
}

/** A record as it is exported: fields by name, bytes as text, 64-bit integers as bigint. */
export type ExportedRow = Readonly<Record<string, unknown>>;

const libraryRecordType = 1;

function oneOf<Value extends string>(
  flag: string,
  given: string | undefined,
  values: readonly [Value, ...Value[]],
): Value {
  const value = values.find((each) => each === (given ?? values[0]));
  if (value !== undefined) return value;
  throw invalid(`${flag} must be ${values.join(' or ')}, not "${String(given)}"`);
}

const numberText = (value: number): string => (Object.is(value, -0) ? '-0' : String(value));

/** A row as JSON; 64-bit integers are written as numbers with all their digits. */
export function jsonLine(row: ExportedRow): string {
  const members = Object.entries(row).map(([name, value]) => {
    const text =
      typeof value === 'bigint'
        ? String(value)
        : typeof value === 'number'
          ? Number.isFinite(value)
            ? numberText(value)
            : JSON.stringify(String(value))
          : JSON.stringify(value);
    return `${JSON.stringify(name)}:${text}`;
  });
  return oneLine(`{${members.join(',')}}`);
}

// Text that a spreadsheet takes for a formula.
const formula = /^[=+\-@\t\r]/;

/** A row as RFC 4180 demands. Without `formulas`, text that looks like one is prefixed with '. */
export function csvLine(values: readonly unknown[], formulas = true): string {
  return values
    .map((value) => {
      if (typeof value === 'number') return numberText(value);
      const given = value === undefined || value === null ? '' : `${value as string}`;
      const text =
        !formulas && typeof value === 'string' && formula.test(given) ? `'${given}` : given;
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    })
    .join(',');
}

interface Decoder {
  readonly columns: readonly string[];
  /** Undefined for an item that is not a record of the store's owner. */
  readonly decode: (item: NativeStoreItem) => ExportedRow | undefined;
}

const ownColumns = ['seq', 'timeUs'];
const ledgerColumns = ['account', 'tipo', 'valor', 'descricao', 'saldo'];

function decoder(store: NativeStoreItem, encoding: 'base64' | 'hex'): Decoder {
  const kind = String(store['storeKind']);
  if (kind === 'ledger') {
    const columns = [...ownColumns, ...ledgerColumns];
    return {
      columns,
      // Entries have an account; records without one were written by a later version.
      decode: (item) =>
        item['account'] === undefined
          ? undefined
          : Object.fromEntries(columns.map((name) => [name, item[name]])),
    };
  }
  const bytesText = (value: unknown): unknown =>
    value instanceof Uint8Array ? Buffer.from(value).toString(encoding) : value;
  const own = ({ seq, timeUs }: NativeStoreItem): [string, unknown][] => [
    ['seq', seq],
    ['timeUs', timeUs],
  ];
  const bytesOf = (item: NativeStoreItem): Buffer => Buffer.from(String(item['bytes']), 'hex');
  const rowOf =
    (fields: (item: NativeStoreItem) => [string, unknown][]): Decoder['decode'] =>
    // Unknown types of records are skipped.
    (item) =>
      item['type'] === libraryRecordType
        ? Object.fromEntries([...own(item), ...fields(item)])
        : undefined;
  if (kind !== 'records') {
    return {
      columns: [...ownColumns, 'bytes'],
      decode: rowOf((item) => [['bytes', bytesText(bytesOf(item))]]),
    };
  }
  const schema = String(store['schema']);
  const type: RecordType<Record<string, unknown>> = recordOfSchema(schema);
  const { fields } = JSON.parse(schema) as { fields: [string, unknown][] };
  // A field whose name is that of one of our columns gets a longer name.
  const columnOf = (name: string): string => (ownColumns.includes(name) ? `value.${name}` : name);
  return {
    columns: [...ownColumns, ...fields.map(([name]) => columnOf(name))],
    decode: rowOf((item) =>
      Object.entries(type.decode(bytesOf(item))).map(([name, value]) => [
        columnOf(name),
        bytesText(value),
      ]),
    ),
  };
}

function formatOf(flags: ExportFlags): 'ndjson' | 'csv' {
  const format = oneOf('--format', flags.format, ['ndjson', 'csv']);
  if (format === 'csv' && flags.json === true) {
    throw invalid('--json and --format csv exclude each other');
  }
  if (format !== 'csv' && flags.formulas === false) {
    throw invalid('--no-formulas goes with --format csv only');
  }
  return format;
}

/** Prints one line per record. Resolves with the exit code, 3 for damage; never rejects. */
export async function exportRecords(flags: ExportFlags): Promise<number> {
  const { from, to, limit, format, bytes: bytesFlag, formulas, ...shared } = flags;
  let damaged = false;
  try {
    const { values } = optionsFor('espora export', 'export', shared);
    const csv = formatOf(flags) === 'csv';
    const encoding = oneOf('--bytes', bytesFlag, ['base64', 'hex']);
    const first = whole('--from', from, 'from').from ?? 0;
    const last = whole('--to', to, 'to').to ?? Number.MAX_SAFE_INTEGER;
    let left = whole('--limit', limit, 'limit').limit ?? Number.MAX_SAFE_INTEGER;
    printInStep();
    let decode: Decoder['decode'] = () => undefined;
    let columns: readonly string[] = [];
    const takeItem = (item: NativeStoreItem, lines: string[]): void => {
      if (item.kind === 'store') {
        ({ columns, decode } = decoder(item, encoding));
        if (csv) lines.push(csvLine(columns));
        return;
      }
      if (item.kind === 'finding') {
        const note = item['severity'] === 'note';
        damaged ||= !note;
        const text = `${values.data}: ${note ? 'note: ' : ''}${String(item['text'])}`;
        printNote(`espora export: ${text}`);
        return;
      }
      if (Number(item['seq']) > last || left === 0) throw enough;
      const row = item.kind === 'record' ? decode(item) : undefined;
      if (row === undefined) return;
      left--;
      lines.push(
        csv
          ? csvLine(
              columns.map((name) => row[name]),
              formulas,
            )
          : jsonLine(row),
      );
    };
    const options = { from: first, frames: false, records: true };
    await loadNative().inspectStore(values.data, options, (items) => {
      stopIfNobodyReads();
      const lines: string[] = [];
      try {
        for (const item of items) takeItem(item, lines);
      } finally {
        if (lines.length > 0) printData(lines.join('\n'));
      }
    });
    return damaged ? damagedExitCode : 0;
  } catch (error) {
    if (error === enough) return damaged ? damagedExitCode : 0;
    return printError('espora export', toEsporaError(error));
  }
}
