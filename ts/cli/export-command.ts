// `espora export`: writes a store's records to stdout, as JSON lines or CSV; works beside a running
// service. Typed records and the ledger's have their fields, others their bytes.
import { EsporaError, toEsporaError } from '../errors.js';
import { loadNative } from '../native.js';
import type { NativeStoreItem } from '../native.js';
import { recordOfSchema } from '../store/record.js';
import type { RecordType } from '../store/record.js';
import { damagedExitCode, print, printError, printInStep } from './output.js';
import { optionsFor } from './sources.js';
import type { Flags } from './sources.js';
import { whole } from './whole.js';

/** Flags that only this command has. */
export interface ExportFlags extends Flags {
  readonly from?: string;
  readonly to?: string;
  readonly limit?: string;
  readonly format?: string;
  readonly bytes?: string;
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
  throw new EsporaError(
    'ERR_ESPORA_INVALID',
    `${flag} has to be ${values.join(' or ')}, not "${String(given)}"`,
  );
}

/** JSON with 64-bit integers as numbers of full length, which JSON has no limit for. */
export function jsonLine(row: ExportedRow): string {
  const members = Object.entries(row).map(([name, value]) => {
    const text =
      typeof value === 'bigint'
        ? String(value)
        : typeof value === 'number' && !Number.isFinite(value)
          ? JSON.stringify(String(value))
          : JSON.stringify(value);
    return `${JSON.stringify(name)}:${text}`;
  });
  return `{${members.join(',')}}`;
}

/** RFC 4180: quoted where it must be, quotes doubled. */
export function csvLine(values: readonly unknown[]): string {
  return values
    .map((value) => {
      const text = value === undefined || value === null ? '' : `${value as string}`;
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    })
    .join(',');
}

type Decode = (item: NativeStoreItem) => ExportedRow | undefined;

function decoder(store: NativeStoreItem, encoding: 'base64' | 'hex'): Decode {
  const kind = String(store['storeKind']);
  const type: RecordType<Record<string, unknown>> | undefined =
    kind === 'records' ? recordOfSchema(String(store['schema'])) : undefined;
  const bytesText = (value: unknown): unknown =>
    value instanceof Uint8Array ? Buffer.from(value).toString(encoding) : value;
  return (item) => {
    const { seq, timeUs } = item as NativeStoreItem & { seq: number; timeUs: number };
    if (item['account'] !== undefined) {
      const { account, tipo, valor, descricao, saldo } = item;
      return { seq, timeUs, account, tipo, valor, descricao, saldo };
    }
    // Of a later version: a reader skips types that it does not know.
    if (item['type'] !== libraryRecordType) return undefined;
    const bytes = Buffer.from(String(item['bytes']), 'hex');
    if (type === undefined) return { seq, timeUs, bytes: bytesText(bytes) };
    const fields = Object.entries(type.decode(bytes)).map(
      ([name, value]) => [name, bytesText(value)] as const,
    );
    return Object.fromEntries([['seq', seq], ['timeUs', timeUs], ...fields]);
  };
}

/** Prints one line per record. Resolves with the exit code, 3 for damage; never rejects. */
export async function exportRecords(flags: ExportFlags): Promise<number> {
  const { from, to, limit, format: formatFlag, bytes: bytesFlag, ...shared } = flags;
  try {
    const { values } = optionsFor('espora export', 'export', shared);
    const csv = oneOf('--format', formatFlag, ['ndjson', 'csv']) === 'csv';
    const encoding = oneOf('--bytes', bytesFlag, ['base64', 'hex']);
    const first = whole('--from', from, 'from').from ?? 0;
    const last = whole('--to', to, 'to').to ?? Number.MAX_SAFE_INTEGER;
    const given = whole('--limit', limit, 'limit').limit ?? Number.MAX_SAFE_INTEGER;
    const most = Math.max(0, Math.min(given, last - Math.max(first, 1) + 1));
    printInStep();
    let damaged = false;
    let decode: Decode | undefined;
    let columns: string[] | undefined;
    const options = { from: first, limit: most, frames: false, records: true };
    await loadNative().inspectStore(values.data, options, (items) => {
      const lines: string[] = [];
      for (const item of items) {
        if (item.kind === 'store') decode = decoder(item, encoding);
        if (item.kind === 'finding') {
          const note = item['severity'] === 'note';
          damaged ||= !note;
          const text = `${values.data}: ${note ? 'note: ' : ''}${String(item['text'])}`;
          process.stderr.write(`espora export: ${text}\n`);
        }
        const row = item.kind === 'record' ? decode?.(item) : undefined;
        if (row === undefined) continue;
        if (csv && columns === undefined) {
          columns = Object.keys(row);
          lines.push(csvLine(columns));
        }
        lines.push(csv ? csvLine(columns!.map((name) => row[name])) : jsonLine(row));
      }
      if (lines.length > 0) print(lines.join('\n'));
    });
    return damaged ? damagedExitCode : 0;
  } catch (error) {
    return printError('espora export', toEsporaError(error));
  }
}
