// Resolves flags, environment and configuration file to the checked, frozen options of a command, with the
// source of each value.
import { asJson } from '../shown.js';
import { invalid } from '../errors.js';
import { readText, repeatedName } from './json.js';
import { suggestion } from './suggest.js';
import { flagOf, optionNames, optionOf, optionsOf, serviceOptionsOf, variableOf } from './table.js';
import type {
  Command,
  OptionName,
  ServiceInput,
  ServiceKind,
  ServiceValues,
  Values,
} from './table.js';

/** The source of a value; earlier ones win. */
export type Source = 'flag' | 'environment' | 'file' | 'default';

/** One option of a command with its value and origin. */
export interface Setting {
  readonly name: OptionName;
  readonly flag: string;
  readonly variable: string;
  /** The value as text, as it could be given; undefined if there is none. */
  readonly text: string | undefined;
  readonly source: Source;
  /** The flag, variable or file that it came from, or `default`. */
  readonly origin: string;
}

export interface Sources {
  /** By option name; only those that were given. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly environment?: Environment;
  readonly file?: ConfigFile | undefined;
}

/** A configuration file's content; its keys are known options. */
export interface ConfigFile {
  readonly path: string;
  readonly content: Readonly<Record<string, unknown>>;
}

export interface Resolution<C extends Command> {
  readonly values: Values<C>;
  readonly settings: readonly Setting[];
  /** What the user should know about the given values, one sentence each. */
  readonly warnings: readonly string[];
}

// Variables of espora that are not options: the addon to load, and the image of the compose files.
const otherVariables = ['ESPORA_ADDON', 'ESPORA_IMAGE'] as const;

const prefix = 'ESPORA_';

/** Every variable of espora with its prefix. */
export const knownVariables: readonly string[] = Object.freeze([
  ...optionNames.map(variableOf).filter((name) => name.startsWith(prefix)),
  ...otherVariables,
]);

type Environment = Readonly<Record<string, string | undefined>>;

// Kubernetes and links between containers set such variables in every container for each service: for one
// called espora ESPORA_SERVICE_HOST, ESPORA_PORT=tcp://10.0.0.1:9999, ESPORA_PORT_9999_TCP_ADDR and more,
// for one called espora-metrics ESPORA_METRICS_PORT=tcp://10.0.0.2:9998.
const linkNames =
  /^ESPORA_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
const linkValue = /^(tcp|udp|sctp):\/\//;

/** Whether the variable says where a service of the platform is, and is not an option. */
function isServiceLink(name: string, value: string): boolean {
  if (!name.startsWith(prefix)) return false;
  if (name.endsWith('_PORT') && linkValue.test(value)) return true;
  return !knownVariables.includes(name) && linkNames.test(name);
}

const meant = (name: string): string => {
  // PORT, DB and others have no prefix, and are easily given one by mistake.
  const bare = name.slice(prefix.length);
  if (optionNames.map(variableOf).includes(bare)) return `; did you mean ${bare}?`;
  return suggestion(name, knownVariables);
};

const linksNamedMax = 3;

/**
 * A warning for each variable that has the prefix and is unknown. It is not an error, because platforms set
 * variables that no user asked for. Pure.
 */
export function foreignVariables(environment: Environment): readonly string[] {
  const warnings: string[] = [];
  const links: string[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith(prefix) || value === undefined || value === '') continue;
    if (isServiceLink(name, value)) links.push(name);
    else if (!knownVariables.includes(name)) {
      warnings.push(`the environment variable ${name} means nothing and is ignored${meant(name)}`);
    }
  }
  if (links.length > 0) {
    const more = links.length - linksNamedMax;
    const named = links.slice(0, linksNamedMax).join(', ') + (more > 0 ? ` and ${more} more` : '');
    warnings.push(
      `ignored, because they say where a service of the platform is: ${named} (in Kubernetes, enableServiceLinks: false leaves them out)`,
    );
  }
  return warnings;
}

/** Reads a configuration file: one JSON object with options by name. */
export function readConfigFile(path: string): ConfigFile {
  return parseConfigFile(path, readText('the configuration file', path));
}

/** The content of a configuration file, its keys checked. */
export function parseConfigFile(path: string, json: string): ConfigFile {
  let content: unknown;
  try {
    content = JSON.parse(json);
  } catch (error) {
    throw invalid(`the configuration file ${path} is not JSON: ${(error as Error).message}`);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw invalid(`the configuration file ${path} must hold one JSON object`);
  }
  const repeated = repeatedName(json);
  if (repeated !== undefined) {
    throw invalid(`${repeated} is in ${path} twice: give it once`);
  }
  for (const key of Object.keys(content)) {
    if (!(optionNames as readonly string[]).includes(key)) {
      throw invalid(`unknown option ${key} in ${path}${suggestion(key, optionNames)}`);
    }
  }
  return { path, content: content as Record<string, unknown> };
}

interface Given {
  readonly value: unknown;
  readonly source: Source;
  readonly origin: string;
}

function given(name: OptionName, sources: Sources): Given | undefined {
  const flag = sources.flags?.[name];
  if (flag !== undefined) return { value: flag, source: 'flag', origin: flagOf(name) };
  const variable = variableOf(name);
  const text = sources.environment?.[variable];
  // An empty variable counts as absent: `VARIABLE=${UNSET}` in a compose file sets one.
  if (text !== undefined && text !== '' && !isServiceLink(variable, text)) {
    return { value: text, source: 'environment', origin: variable };
  }
  if (sources.file !== undefined && Object.hasOwn(sources.file.content, name)) {
    return { value: sources.file.content[name], source: 'file', origin: sources.file.path };
  }
  return undefined;
}

function check(name: OptionName, { value, source, origin }: Given): unknown {
  const parsed = optionOf(name).kind.schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const where = source === 'file' ? `${name} in ${origin}` : origin;
  throw invalid(`${where} is ${asJson(value)}: ${parsed.error.issues[0]!.message}`);
}

/**
 * The options of `command`; a flag precedes the environment, that the file, that the default. Throws
 * ERR_ESPORA_INVALID for the first value that is refused. Pure.
 */
export function resolveOptions<C extends Command>(command: C, sources: Sources): Resolution<C> {
  const { values, settings } = resolveNames(optionsOf(command), sources);
  const warnings = foreignVariables(sources.environment ?? {});
  return { values: values as unknown as Values<C>, settings, warnings };
}

function resolveNames(
  names: readonly OptionName[],
  sources: Sources,
): { values: object; settings: readonly Setting[] } {
  const found = new Map<OptionName, Given>();
  for (const name of names) {
    const one = given(name, sources);
    if (one !== undefined) found.set(name, one);
  }
  const values: Partial<Record<OptionName, unknown>> = {};
  const settings: Setting[] = [];
  for (const name of names) {
    const spec = optionOf(name);
    const one = found.get(name);
    const barred = (spec.defaultUnless ?? []).some((other) => found.has(other as OptionName));
    const value = one === undefined ? (barred ? undefined : spec.default) : check(name, one);
    values[name] = value;
    const text = value === undefined ? undefined : spec.kind.format(value);
    settings.push({
      name,
      flag: flagOf(name),
      variable: variableOf(name),
      text,
      source: one?.source ?? 'default',
      origin: one?.origin ?? 'default',
    });
  }
  return { values: Object.freeze(values), settings: Object.freeze(settings) };
}

/**
 * The options of a class, checked like those of a command. Relative paths of sockets become absolute, from
 * the current working directory. Throws ERR_ESPORA_INVALID.
 */
export function resolveServiceOptions<S extends ServiceKind>(
  service: S,
  input: ServiceInput<S>,
): ServiceValues<S> {
  const names = serviceOptionsOf(service);
  for (const key of Object.keys(input)) {
    if (!(names as readonly string[]).includes(key)) {
      throw invalid(`unknown option ${key} of ${service}${suggestion(key, names)}`);
    }
  }
  const content = Object.fromEntries(
    Object.entries(input).filter(([, value]) => value !== undefined),
  );
  const { values } = resolveNames(names, { file: { path: 'the options', content } });
  const rooted = Object.entries(values).map(([name, value]: [string, unknown]) => {
    const { kind } = optionOf(name as OptionName);
    return [name, value === undefined ? value : (kind.rooted?.(value) ?? value)];
  });
  return Object.freeze(Object.fromEntries(rooted)) as ServiceValues<S>;
}
