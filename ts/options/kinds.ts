// The kinds of values that options have: what each accepts as text or as a typed value, how it is
// written back as text, and the words for a person whose value was refused.
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
  /** The value that means the same wherever the program goes: its relative paths from here. */
  readonly rooted?: (value: Value) => Value;
}

/** Reads a value, or says in words why a special case of it is refused. */
type Reader<Input, Value> = (input: Input) => Value | { readonly refused: string } | undefined;

function kind<Input, Value>(definition: {
  input: z.ZodType<Input, Input>;
  read: Reader<Input, Value>;
  expected: string;
  placeholder: string;
  format: (value: Value) => string;
  rooted?: (value: Value) => Value;
}): Kind<Input, Value> {
  const { input, read, ...rest } = definition;
  const { expected } = rest;
  const schema = input.transform((given, context): Value => {
    const value = read(given);
    if (value === undefined) {
      context.addIssue({ code: 'custom', message: `it must be ${expected}` });
      return z.NEVER;
    }
    if (typeof value === 'object' && value !== null && 'refused' in value) {
      context.addIssue({ code: 'custom', message: value.refused });
      return z.NEVER;
    }
    return value;
  });
  return { schema, ...rest };
}

/** The refusal of a list that is too long; names the limit. */
const tooMany = (what: string, count: number, max: number): { readonly refused: string } => ({
  refused: `there are ${String(count)} ${what}, and at most ${String(max)} are possible`,
});

const text = (expected: string): z.ZodType<string, string> =>
  z.string({ error: `it must be ${expected}` });
const textOrNumber = (expected: string): z.ZodType<string | number, string | number> =>
  z.union([z.string(), z.number()], { error: `it must be ${expected}` });

function wholeNumber(input: string | number, min: number, max: number): number | undefined {
  const value =
    typeof input === 'number' ? input : /^\d{1,16}$/.test(input) ? Number(input) : Number.NaN;
  return Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined;
}

/** A whole number from `min` to `max`. */
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

/** A TCP port; 0 lets the kernel choose. */
export function port(): Kind<string | number, number> {
  return { ...count({ min: 0, max: 65535 }), placeholder: '<port>' };
}

const durationUnits = [
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const;

/** A length of time, in milliseconds; as text with its unit: `10ms`, `1.5s`, `2m`, or `0`. */
export function duration(range: { minMs: number; maxMs: number }): Kind<string | number, number> {
  const format = (ms: number): string => {
    if (ms === 0) return '0';
    for (const [unit, unitMs] of durationUnits) {
      if (ms % unitMs === 0) return `${String(ms / unitMs)}${unit}`;
    }
    return `${String(ms)}ms`;
  };
  const expected = `a time from ${format(range.minMs)} to ${format(range.maxMs)} with its unit, such as 10ms, 1.5s or 2m`;
  const inMs = (input: string): number | undefined => {
    const match = /^(\d{1,9}(?:\.\d{1,6})?)(ms|s|m)?$/.exec(input);
    if (match === null) return undefined;
    const amount = Number(match[1]);
    const unit = durationUnits.find(([name]) => name === match[2]);
    if (unit === undefined) return amount === 0 ? 0 : undefined;
    // Whole milliseconds only: what is asked for is what happens.
    const ms = amount * unit[1];
    const rounded = Math.round(ms);
    return Math.abs(ms - rounded) < 1e-6 ? rounded : undefined;
  };
  return kind({
    input: textOrNumber(expected),
    read: (input) => {
      const ms = typeof input === 'number' ? input : inMs(input);
      if (ms === undefined || !Number.isSafeInteger(ms)) return undefined;
      return ms >= range.minMs && ms <= range.maxMs ? ms : undefined;
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
] as const;

/** A number of bytes; as text plain or in KiB, MiB, GiB. */
export function bytes(range: {
  min: number;
  max: number;
  multipleOf?: number;
}): Kind<string | number, number> {
  const format = (value: number): string => {
    for (const [unit, unitBytes] of byteUnits) {
      if (value > 0 && value % unitBytes === 0) return `${String(value / unitBytes)}${unit}`;
    }
    return String(value);
  };
  const step = range.multipleOf ?? 1;
  const multiple = step === 1 ? '' : ` in steps of ${format(step)}`;
  const expected = `a size from ${format(range.min)} to ${format(range.max)}${multiple}, in bytes or with KiB, MiB or GiB`;
  return kind({
    input: textOrNumber(expected),
    read: (input) => {
      let factor = 1;
      let digits = input;
      const match = typeof input === 'string' ? /^(\d{1,16})(KiB|MiB|GiB)$/.exec(input) : null;
      if (match !== null) {
        digits = match[1]!;
        factor = byteUnits.find(([name]) => name === match[2])![1];
      }
      const amount = wholeNumber(digits, 0, Number.MAX_SAFE_INTEGER);
      const value = amount === undefined ? Number.NaN : amount * factor;
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
  return kind({
    input: textOrNumber(expected),
    read: (input) => {
      const mode =
        typeof input === 'number'
          ? input
          : /^0?[0-7]{3}$/.test(input)
            ? Number.parseInt(input, 8)
            : Number.NaN;
      return Number.isInteger(mode) && mode >= 0 && mode <= 0o777 ? mode : undefined;
    },
    expected,
    placeholder: '<mode>',
    format: (mode) => mode.toString(8).padStart(3, '0'),
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
export function label(): Kind<string, string> {
  const expected = 'at most 32 letters, digits, spaces, dots, dashes or underscores';
  return kind<string, string>({
    input: text(expected),
    read: (input) => (/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}$/.test(input) ? input : undefined),
    expected,
    placeholder: '<name>',
    format: (value) => value,
  });
}

/** A path in the file system, relative to the working directory. */
export function path(what: string): Kind<string, string> {
  const expected = `the path of ${what}`;
  return kind<string, string>({
    input: text(expected),
    read: (input) => (input !== '' && !input.includes('\0') ? input : undefined),
    expected,
    placeholder: what.includes('directory') ? '<directory>' : '<file>',
    format: (value) => value,
  });
}

/** sockaddr_un.sun_path without its terminating NUL, unix(7). */
export const unixPathBytesMax = 107;

// What stands behind a socket's path in those beside it: that for handoff, while it is made.
const besideBytes = '.handoff.4194304'.length;

/**
 * A relative path from the root of the file system, as it is meant in the working directory of now.
 * One with which a socket would have no room (`more` bytes are to follow) stays as it is.
 */
export function rootedPath(path: string, more = besideBytes): string {
  if (isAbsolute(path)) return path;
  let rooted: string;
  try {
    rooted = `${process.cwd().replace(/\/$/, '')}/${path.replace(/^(?:\.\/+)+/, '')}`;
  } catch {
    return path; // there is no working directory any more, and so nothing that it could mean
  }
  return Buffer.byteLength(rooted) + more <= unixPathBytesMax ? rooted : path;
}

/** The same of an address to forward to, which may be a path. */
export const rootedAddress = (address: string): string =>
  address.includes('/') ? rootedPath(address) : address;

/** What is wrong with a text that is to be a path and looks like a URL, or like a host and port. */
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

/** The path of a unix socket to listen on. */
export function socketPath(): Kind<string, string> {
  const expected = 'the path of a unix socket';
  return kind<string, string>({
    input: text(expected),
    read: (input) => {
      const refused = socketPathProblem(input);
      return refused === undefined ? input : { refused };
    },
    expected,
    placeholder: '<path>',
    format: (value) => value,
    rooted: rootedPath,
  });
}

/** A name or address to listen on. */
export function host(): Kind<string, string> {
  const expected = 'a host name or an IP address, such as 127.0.0.1, 0.0.0.0 or ::';
  return kind<string, string>({
    input: text(expected),
    read: (input) => (/^[A-Za-z0-9._:%-]{1,253}$/.test(input) ? input : undefined),
    expected,
    placeholder: '<host>',
    format: (value) => value,
  });
}

/** Where a service forwards to. */
export type Address =
  { readonly unixSocket: string } | { readonly host: string; readonly port: number };

const addressExpected = 'host:port, or a unix socket as a path with a slash in it';

/** Reads `host:port`, `[ipv6]:port` or, with a slash in it, the path of a unix socket. */
export function parseAddress(input: string): Address | { readonly refused: string } | undefined {
  if (input.includes('/')) {
    const refused = socketPathProblem(input);
    return refused === undefined ? { unixSocket: input } : { refused };
  }
  const match = /^(?:\[([0-9A-Fa-f:.%a-z]+)\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(input);
  if (match === null) return undefined;
  const port = Number(match[3]);
  return port >= 1 && port <= 65535 ? { host: (match[1] ?? match[2])!, port } : undefined;
}

/** One address to forward to. */
export function address(): Kind<string, string> {
  return kind<string, string>({
    input: text(addressExpected),
    read: (input) => {
      const parsed = parseAddress(input);
      return parsed === undefined || 'refused' in parsed ? parsed : input;
    },
    expected: addressExpected,
    placeholder: '<address>',
    format: (value) => value,
    rooted: rootedAddress,
  });
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

/** The same, with its weight. */
export interface Weighted {
  readonly address: string;
  readonly weight: number;
}

const weightExpected = `a whole number from 1 to ${String(weightMax)}`;

/** Reads `address` or `address weight=N`. */
export function parseUpstream(input: string): Weighted | { readonly refused: string } | undefined {
  const match = /^(.*\S)\s+weight=(\S*)$/.exec(input);
  const at = match === null ? input : match[1]!;
  const weight = match === null ? 1 : wholeNumber(match[2]!, 1, weightMax);
  if (weight === undefined) return { refused: `a weight must be ${weightExpected}` };
  const parsed = parseAddress(at);
  if (parsed === undefined || 'refused' in parsed) return parsed;
  return { address: at, weight };
}

const upstreamText = ({ address: at, weight }: WeightedAddress): string =>
  weight === undefined || weight === 1 ? at : `${at} weight=${String(weight)}`;

type UpstreamsInput = string | readonly (string | WeightedAddress)[];

/** Addresses to forward to with their weights, as text separated by commas. */
export function upstreams(): Kind<UpstreamsInput, readonly string[]> {
  const expected = `one or more addresses separated by commas, each ${addressExpected}, perhaps followed by " weight=2"`;
  const weighted = z.strictObject({ address: z.string(), weight: z.number().optional() });
  return kind<UpstreamsInput, readonly string[]>({
    input: z.union([z.string(), z.array(z.union([z.string(), weighted])).readonly()], {
      error: `it must be ${expected}`,
    }),
    read: (input) => {
      const list = typeof input === 'string' ? input.split(',').map((one) => one.trim()) : input;
      if (list.length === 0) return undefined;
      if (list.length > upstreamsMax) return tooMany('addresses', list.length, upstreamsMax);
      const texts: string[] = [];
      const places = new Set<string>();
      for (const one of list) {
        const parsed = parseUpstream(typeof one === 'string' ? one : upstreamText(one));
        if (parsed === undefined) return undefined;
        if ('refused' in parsed) return { refused: parsed.refused };
        // The addon knows all spellings of one place; these are what people write.
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
      return Object.freeze(texts);
    },
    expected,
    placeholder: '<addresses>',
    format: (value) => value.join(','),
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

const networksMax = 256;

/** IP networks, or `unix` for all clients on the unix socket, as text separated by commas. */
export function networks(): Kind<string | readonly string[], readonly string[]> {
  const expected =
    'one or more networks separated by commas, such as 10.0.0.0/8, 2001:db8::/32 or unix';
  return kind<string | readonly string[], readonly string[]>({
    input: z.union([z.string(), z.array(z.string()).readonly()], {
      error: `it must be ${expected}`,
    }),
    read: (input) => {
      const list = typeof input === 'string' ? input.split(',').map((one) => one.trim()) : input;
      if (list.length === 0) return undefined;
      if (list.length > networksMax) return tooMany('networks', list.length, networksMax);
      return list.every((one) => one === 'unix' || isNetwork(one))
        ? Object.freeze([...list])
        : undefined;
    },
    expected,
    placeholder: '<networks>',
    format: (value) => value.join(','),
  });
}

const userIdMax = 2 ** 32 - 2;
const userIdsMax = 64;

/** Users of this machine by their numbers, as text separated by commas. */
export function userIds(): Kind<string | readonly number[], readonly number[]> {
  const expected = 'one or more user ids separated by commas, such as 1000 or 33,1000';
  return kind<string | readonly number[], readonly number[]>({
    input: z.union([z.string(), z.array(z.number()).readonly()], {
      error: `it must be ${expected}`,
    }),
    read: (input) => {
      const list = typeof input === 'string' ? input.split(',').map((one) => one.trim()) : input;
      if (list.length === 0) return undefined;
      if (list.length > userIdsMax) return tooMany('users', list.length, userIdsMax);
      const ids = list.map((one) => wholeNumber(one, 0, userIdMax));
      return ids.every((id) => id !== undefined) ? Object.freeze(ids) : undefined;
    },
    expected,
    placeholder: '<users>',
    format: (value) => value.join(','),
  });
}

/** The path of a request, with its query if there is one. */
export function requestPath(): Kind<string, string> {
  const expected = 'a path of at most 1024 characters that begins with a slash, such as /health';
  return kind<string, string>({
    input: text(expected),
    read: (input) => (/^\/[\x21-\x22\x24-\x7e]{0,1023}$/.test(input) ? input : undefined),
    expected,
    placeholder: '<path>',
    format: (value) => value,
  });
}

/** A range of HTTP status codes. */
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
