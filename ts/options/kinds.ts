// The kinds of values that options have: what each accepts as text or as a typed value, how it is
// written back as text, and what an error says that must be given.
import { isIP } from 'node:net';
import { isAbsolute } from 'node:path';
import { z } from 'zod';

/** How one sort of value is read, checked and written. */
export interface Kind<Input, Value> {
  /** From what was given to the value that programs use. */
  readonly schema: z.ZodType<Value, Input>;
  /** What is accepted; completes the sentence "it must be …". */
  readonly expected: string;
  /** Stands for the value in help texts: `<port>`. */
  readonly placeholder: string;
  /** The value as text that the schema reads back as the same value. */
  readonly format: (value: Value) => string;
  /** The value with its relative paths made absolute, so that a change of directory does not change it. */
  readonly rooted?: (value: Value) => Value;
}

/** Why a value is refused, where "it must be …" does not say it. */
export interface Refused {
  readonly refused: string;
}

/** Reads a value; undefined if it is not what is expected. */
type Reader<Input, Value> = (input: Input) => Value | Refused | undefined;

interface Definition<Input, Value> extends Omit<Kind<Input, Value>, 'schema'> {
  readonly input: z.ZodType<Input, Input>;
  readonly read: Reader<Input, Value>;
}

export function kind<Input, Value>(definition: Definition<Input, Value>): Kind<Input, Value> {
  const { input, read, ...rest } = definition;
  const schema = input.transform((given, context): Value => {
    const value = read(given);
    const refused = typeof value === 'object' && value !== null && 'refused' in value;
    if (value !== undefined && !refused) return value;
    const message = refused ? value.refused : `it must be ${rest.expected}`;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
  return { schema, ...rest };
}

const text = (expected: string): z.ZodType<string, string> =>
  z.string({ error: `it must be ${expected}` });
const textOrNumber = (expected: string): z.ZodType<string | number, string | number> =>
  z.union([z.string(), z.number()], { error: `it must be ${expected}` });

/** A kind whose values are texts, used as they were given. */
function textKind(
  expected: string,
  placeholder: string,
  problemOf: (input: string) => boolean | Refused,
  rooted?: (value: string) => string,
): Kind<string, string> {
  return kind<string, string>({
    input: text(expected),
    read: (input) => {
      const problem = problemOf(input);
      if (typeof problem === 'object') return problem;
      return problem ? undefined : input;
    },
    expected,
    placeholder,
    format: (value) => value,
    ...(rooted === undefined ? {} : { rooted }),
  });
}

/** A kind whose values are lists; as text, their items are separated by commas. */
function listKind<Item, Value>({
  item,
  itemsMax,
  items,
  read,
  ...rest
}: Omit<Definition<string | readonly Item[], readonly Value[]>, 'input' | 'read' | 'format'> & {
  readonly item: z.ZodType<Item, Item>;
  readonly itemsMax: number;
  /** The word for several of them. */
  readonly items: string;
  readonly read: Reader<readonly (string | Item)[], readonly Value[]>;
}): Kind<string | readonly Item[], readonly Value[]> {
  const error = `it must be ${rest.expected}`;
  return kind<string | readonly Item[], readonly Value[]>({
    input: z.union([z.string(), z.array(item).readonly()], { error }),
    read: (input) => {
      const list = typeof input === 'string' ? input.split(',').map((one) => one.trim()) : input;
      if (list.length === 0) return undefined;
      if (list.length > itemsMax) {
        return {
          refused: `there are ${list.length} ${items}, and at most ${itemsMax} are possible`,
        };
      }
      const values = read(list);
      return values === undefined ? undefined : Object.freeze(values);
    },
    format: (value) => value.join(','),
    ...rest,
  });
}

function wholeNumber(input: string | number, min: number, max: number): number | undefined {
  const value = /^\d{1,16}$/.test(String(input)) ? Number(input) : Number.NaN;
  return Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined;
}

export function count(range: { min: number; max: number }): Kind<string | number, number> {
  const expected = `a whole number from ${String(range.min)} to ${String(range.max)}`;
  return kind({
    input: textOrNumber(expected),
    read: (input) => wholeNumber(input, range.min, range.max),
    expected,
    placeholder: '<number>',
    format: String,
  });
}

export function port(): Kind<string | number, number> {
  return { ...count({ min: 0, max: 65535 }), placeholder: '<port>' };
}

type Units = readonly (readonly [name: string, size: number])[];

/** The number in the largest unit in which it is whole; units in falling order, the last of size 1. */
function inUnits(units: Units, value: number): string {
  if (value === 0) return '0';
  const [name, size] = units.find(([, each]) => value % each === 0)!;
  return `${value / size}${name}`;
}

const durationUnits = [
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const;

/** A length of time, in milliseconds; as text with its unit: `10ms`, `1.5s`, `2m`, or `0`. */
export function duration(range: { minMs: number; maxMs: number }): Kind<string | number, number> {
  const format = (ms: number): string => inUnits(durationUnits, ms);
  const expected = `a time from ${format(range.minMs)} to ${format(range.maxMs)} with its unit, such as 10ms, 1.5s or 2m`;
  const inMs = (input: string): number | undefined => {
    const match = /^(\d{1,9}(?:\.\d{1,6})?)(ms|s|m)?$/.exec(input);
    if (match === null) return undefined;
    const amount = Number(match[1]);
    const unit = durationUnits.find(([name]) => name === match[2]);
    if (unit === undefined) return amount === 0 ? 0 : undefined;
    // Only whole milliseconds are accepted, so nothing is rounded.
    const ms = amount * unit[1];
    const rounded = Math.round(ms);
    return Math.abs(ms - rounded) < 1e-6 ? rounded : undefined;
  };
  return kind({
    input: textOrNumber(expected),
    read: (input) => {
      const ms = typeof input === 'number' ? input : inMs(input);
      return ms === undefined ? undefined : wholeNumber(ms, range.minMs, range.maxMs);
    },
    expected,
    placeholder: '<time>',
    format,
  });
}

const byteUnits = [
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
  ['', 1],
] as const;

/** A number of bytes; as text plain or in KiB, MiB, GiB. */
export function bytes(range: {
  min: number;
  max: number;
  multipleOf?: number;
}): Kind<string | number, number> {
  const format = (value: number): string => inUnits(byteUnits, value);
  const step = range.multipleOf ?? 1;
  const multiple = step === 1 ? '' : ` in steps of ${format(step)}`;
  const expected = `a size from ${format(range.min)} to ${format(range.max)}${multiple}, in bytes or with KiB, MiB or GiB`;
  return kind({
    input: textOrNumber(expected),
    read: (input) => {
      const [, digits, unit = ''] = /^(\d{1,16})([KMG]iB)?$/.exec(String(input)) ?? [];
      const value = Number(digits) * byteUnits.find(([name]) => name === unit)![1];
      const fits = value >= range.min && value <= range.max && value % step === 0;
      return fits ? value : undefined;
    },
    expected,
    placeholder: '<size>',
    format,
  });
}

/** The permissions of a socket file, in octal as text: `600`, `0660`. */
export function fileMode(): Kind<string | number, number> {
  const expected = 'permissions in octal, such as 600 or 660';
  const format = (mode: number): string => mode.toString(8).padStart(3, '0');
  return kind({
    input: textOrNumber(expected),
    read: (input) => {
      const octal = typeof input === 'number' ? format(input) : input;
      return /^0?[0-7]{3}$/.test(octal) ? Number.parseInt(octal, 8) : undefined;
    },
    expected,
    placeholder: '<mode>',
    format,
  });
}

/** One of `names`, or another name of one of them. */
export function choice<const Name extends string>(
  names: readonly Name[],
  aliases: Readonly<Record<string, Name>> = {},
): Kind<Name, Name> {
  const expected =
    names.length === 1
      ? names[0]!
      : `${names.slice(0, -1).join(', ')} or ${names[names.length - 1]!}`;
  const meant = new Map<string, Name>(Object.entries(aliases));
  for (const name of names) meant.set(name, name);
  return kind<Name, Name>({
    input: text(expected) as unknown as z.ZodType<Name, Name>,
    read: (input) => meant.get(input),
    expected,
    placeholder: `<${names.join('|')}>`,
    format: (value) => value,
  });
}

/** A short name that appears in logs and process lists. */
export const label = (): Kind<string, string> =>
  textKind(
    'at most 32 letters, digits, spaces, dots, dashes or underscores',
    '<name>',
    (input) => !/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}$/.test(input),
  );

/** A path in the file system, relative to the working directory. */
export const path = (what: string): Kind<string, string> =>
  textKind(
    `the path of ${what}`,
    what.includes('directory') ? '<directory>' : '<file>',
    (input) => input === '' || input.includes('\0'),
  );

/** sockaddr_un.sun_path without its terminating NUL, unix(7). */
export const unixPathBytesMax = 107;

// The longest suffix that is added to a socket's path: that of the handoff socket while it is created.
const besideBytes = '.handoff.4194304'.length;

/**
 * The absolute path for one that is relative to the current working directory. If it were too long for
 * a socket's path with `more` bytes behind it, the path stays relative.
 */
export function rootedPath(path: string, more = besideBytes): string {
  if (isAbsolute(path)) return path;
  let rooted: string;
  try {
    rooted = `${process.cwd().replace(/\/$/, '')}/${path.replace(/^(?:\.\/+)+/, '')}`;
  } catch {
    return path; // the working directory was removed
  }
  return Buffer.byteLength(rooted) + more <= unixPathBytesMax ? rooted : path;
}

/** The same for an address to forward to, which may be a path. */
export const rootedAddress = (address: string): string =>
  address.includes('/') ? rootedPath(address) : address;

/** What is wrong with a path that looks like a URL or like a host and port. */
function urlProblem(path: string): string | undefined {
  const [, before, rest] = /^([^/]*?):(.*)$/s.exec(path) ?? [];
  if (before === undefined || rest === undefined) return undefined;
  if (before === 'unix') {
    const alone = rest.replace(/^\/{2,}(?=\/)/, '');
    return `it is a URL: write the path alone, ${JSON.stringify(alone)}`;
  }
  if (rest.startsWith('//')) {
    const place = rest.slice(2).replace(/\/.*$/s, '');
    const example = /:\d+$/.test(place) ? JSON.stringify(place) : `"${place || 'host'}:8080"`;
    return `it is a URL: write host:port alone, such as ${example}, or the path of a unix socket`;
  }
  return 'it is neither host:port nor a path: write host:port alone, or ./ before a path';
}

/** Why `path` cannot be a unix socket's path, or undefined if it can. */
export function socketPathProblem(path: string): string | undefined {
  const length = Buffer.byteLength(path);
  if (length === 0 || path.includes('\0')) return 'it must be the path of a unix socket';
  const url = urlProblem(path);
  if (url !== undefined) return url;
  if (length <= unixPathBytesMax) return undefined;
  return `a unix socket's path has at most ${String(unixPathBytesMax)} bytes and this one has ${String(length)}, so choose a shorter directory`;
}

export const socketPath = (): Kind<string, string> =>
  textKind('the path of a unix socket', '<path>', refusalOfSocket, rootedPath);

function refusalOfSocket(path: string): false | Refused {
  const refused = socketPathProblem(path);
  return refused === undefined ? false : { refused };
}

export const host = (): Kind<string, string> =>
  textKind(
    'a host name or an IP address, such as 127.0.0.1, 0.0.0.0 or ::',
    '<host>',
    (input) => !/^[A-Za-z0-9._:%-]{1,253}$/.test(input),
  );

export type Address =
  { readonly unixSocket: string } | { readonly host: string; readonly port: number };

const addressExpected = 'host:port, or a unix socket as a path with a slash in it';

/** Reads `host:port`, `[ipv6]:port` or, with a slash in it, the path of a unix socket. */
export function parseAddress(input: string): Address | Refused | undefined {
  if (input.includes('/')) return refusalOfSocket(input) || { unixSocket: input };
  const match = /^(?:\[([0-9A-Fa-f:.%a-z]+)\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(input);
  if (match === null) return undefined;
  const port = Number(match[3]);
  return port >= 1 && port <= 65535 ? { host: (match[1] ?? match[2])!, port } : undefined;
}

export function address(): Kind<string, string> {
  const problemOf = (input: string): boolean | Refused => {
    const parsed = parseAddress(input);
    return parsed === undefined || ('refused' in parsed && parsed);
  };
  return textKind(addressExpected, '<address>', problemOf, rootedAddress);
}

/** As limits::upstreams_max. */
export const upstreamsMax = 256;

/** As limits::upstream_weight_max. */
export const weightMax = 1000;

/** An address to forward to and its share: one of weight 2 gets twice as much as one of weight 1. */
export interface WeightedAddress {
  readonly address: string;
  /** 1 to 1000; 1. */
  readonly weight?: number | undefined;
}

/** An address with its weight, the default filled in. */
export type Weighted = { readonly address: string; readonly weight: number };

const weightExpected = `a whole number from 1 to ${String(weightMax)}`;

export function parseUpstream(input: string): Weighted | Refused | undefined {
  const [, at = input, given = '1'] = /^(.*\S)\s+weight=(\S*)$/.exec(input) ?? [];
  const weight = wholeNumber(given, 1, weightMax);
  if (weight === undefined) return { refused: `a weight must be ${weightExpected}` };
  const parsed = parseAddress(at);
  if (parsed === undefined || 'refused' in parsed) return parsed;
  return { address: at, weight };
}

const upstreamText = ({ address: at, weight }: WeightedAddress): string =>
  weight === undefined || weight === 1 ? at : `${at} weight=${String(weight)}`;

/** Addresses to forward to with their weights, as text separated by commas. */
export function upstreams(): Kind<
  string | readonly (string | WeightedAddress)[],
  readonly string[]
> {
  const weighted = z.strictObject({ address: z.string(), weight: z.number().optional() });
  return listKind<string | WeightedAddress, string>({
    item: z.union([z.string(), weighted]),
    itemsMax: upstreamsMax,
    items: 'addresses',
    read: (list) => {
      const texts: string[] = [];
      const places = new Set<string>();
      for (const one of list) {
        const parsed = parseUpstream(typeof one === 'string' ? one : upstreamText(one));
        if (parsed === undefined || 'refused' in parsed) return parsed;
        // The usual spellings of one address; the addon compares what they resolve to.
        const place = parsed.address.toLowerCase().replace(/\.(?=:\d+$)/, '');
        const key = parsed.address.includes('/') ? parsed.address : place;
        if (places.has(key)) {
          return {
            refused: `${parsed.address} is there twice: name it once, with a weight if it is to get more`,
          };
        }
        places.add(key);
        texts.push(upstreamText(parsed));
      }
      return texts;
    },
    expected: `one or more addresses separated by commas, each ${addressExpected}, perhaps followed by " weight=2"`,
    placeholder: '<addresses>',
    rooted: (value) => Object.freeze(value.map(rootedAddress)),
  });
}

/** Whether `text` is an IP network: an address, perhaps with the length of its prefix. */
function isNetwork(text: string): boolean {
  const [base = '', prefix, ...more] = text.split('/');
  const version = isIP(base);
  if (version === 0 || more.length > 0) return false;
  return prefix === undefined || wholeNumber(prefix, 0, version === 4 ? 32 : 128) !== undefined;
}

/** IP networks, or `unix` for all clients on the unix socket, as text separated by commas. */
export const networks = (): Kind<string | readonly string[], readonly string[]> =>
  listKind<string, string>({
    item: z.string(),
    itemsMax: 256,
    items: 'networks',
    read: (list) => (list.every((one) => one === 'unix' || isNetwork(one)) ? [...list] : undefined),
    expected: 'one or more networks separated by commas, such as 10.0.0.0/8, 2001:db8::/32 or unix',
    placeholder: '<networks>',
  });

const userIdMax = 2 ** 32 - 2;

/** Users of this machine by their numbers, as text separated by commas. */
export const userIds = (): Kind<string | readonly number[], readonly number[]> =>
  listKind<number, number>({
    item: z.number(),
    itemsMax: 64,
    items: 'users',
    read: (list) => {
      const ids = list.map((one) => wholeNumber(one, 0, userIdMax));
      return ids.every((id) => id !== undefined) ? ids : undefined;
    },
    expected: 'one or more user ids separated by commas, such as 1000 or 33,1000',
    placeholder: '<users>',
  });

/** The path of a request, with its query if there is one. */
export const requestPath = (): Kind<string, string> =>
  textKind(
    'a path of at most 1024 characters that begins with a slash, such as /health',
    '<path>',
    (input) => !/^\/[\x21-\x22\x24-\x7e]{0,1023}$/.test(input),
  );

export interface StatusRange {
  readonly min: number;
  readonly max: number;
}

/** HTTP status codes that count as good: `200` or `200-399`. */
export function statusRange(): Kind<string | number | StatusRange, StatusRange> {
  const expected = 'a status such as 200, or a range such as 200-399';
  const range = z.strictObject({ min: z.number(), max: z.number() });
  return kind<string | number | StatusRange, StatusRange>({
    input: z.union([z.string(), z.number(), range], { error: `it must be ${expected}` }),
    read: (input) => {
      const asText =
        typeof input === 'object' ? `${String(input.min)}-${String(input.max)}` : String(input);
      const match = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(asText);
      if (match === null) return undefined;
      const min = Number(match[1]);
      const max = Number(match[2] ?? match[1]);
      return min <= max ? Object.freeze({ min, max }) : undefined;
    },
    expected,
    placeholder: '<status>',
    format: ({ min, max }) => (min === max ? String(min) : `${String(min)}-${String(max)}`),
  });
}
