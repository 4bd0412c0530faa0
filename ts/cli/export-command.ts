// `espora export`: writes a store's records to stdout, as JSON lines or CSV, even while a service runs.
// Typed records and those of the ledger are written with their fields, others as bytes.
import { invalid } from '../errors.js';
import type { NativeStoreItem } from '../native.js';
import { oneLine } from '../shown.js';
import { recordOfSchema } from '../store/record.js';
import { damagedExitCode, printData, printNote } from './output.js';
import { optionsFor, type Flags } from './sources.js';
import { enough, walkStore } from './walk.js';
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
type ExportedRow = Readonly<Record<string, unknown>>;

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

function jsonText(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'number') return JSON.stringify(value);
  return Number.isFinite(value) ? numberText(value) : JSON.stringify(String(value));
}

/** A row as JSON; 64-bit integers are written as numbers with all their digits. */
function jsonLine(row: ExportedRow): string {
  const members = Object.entries(row).map(
    ([name, value]) => `${JSON.stringify(name)}:${jsonText(value)}`,
  );
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
  const schema = String(store['schema']);
  const type = kind === 'records' ? recordOfSchema(schema) : undefined;
  const { fields } = (type === undefined ? { fields: [['bytes']] } : JSON.parse(schema)) as {
    fields: [string, unknown?][];
  };
  // A field whose name is that of one of our columns gets a longer name.
  const columnOf = (name: string): string => (ownColumns.includes(name) ? `value.${name}` : name);
  return {
    columns: [...ownColumns, ...fields.map(([name]) => columnOf(name))],
    decode: ({ type: recordType, seq, timeUs, bytes: hex }) => {
      // Unknown types of records are skipped.
      if (recordType !== libraryRecordType) return undefined;
      const bytes = Buffer.from(String(hex), 'hex');
      const values = type === undefined ? { bytes } : type.decode(bytes);
      const row: Record<string, unknown> = { seq, timeUs };
      for (const [name, value] of Object.entries(values)) {
        const isBytes = value instanceof Uint8Array;
        row[columnOf(name)] = isBytes ? Buffer.from(value).toString(encoding) : value;
      }
      return row;
    },
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

/** Prints one line per record. Resolves with the exit code, 3 for damage. */
export async function exportRecords(flags: ExportFlags): Promise<number> {
  const { from, to, limit, format, bytes: bytesFlag, formulas, ...shared } = flags;
  const { values } = optionsFor('espora export', 'export', shared);
  const csv = formatOf(flags) === 'csv';
  const encoding = oneOf('--bytes', bytesFlag, ['base64', 'hex']);
  const first = whole('--from', from) ?? 0;
  const last = whole('--to', to) ?? Number.MAX_SAFE_INTEGER;
  let left = whole('--limit', limit) ?? Number.MAX_SAFE_INTEGER;
  let damaged = false;
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
    const cells = (): unknown[] => columns.map((name) => row[name]);
    lines.push(csv ? csvLine(cells(), formulas) : jsonLine(row));
  };
  await walkStore(values.data, { from: first, frames: false, records: true }, (items) => {
    const lines: string[] = [];
    try {
      for (const item of items) takeItem(item, lines);
    } finally {
      if (lines.length > 0) printData(lines.join('\n'));
    }
  });
  return damaged ? damagedExitCode : 0;
}
