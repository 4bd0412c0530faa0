// From what was given (flags, environment, configuration file) to the checked, frozen options of a
// command, with where each value came from.
import { readFileSync } from 'node:fs';
import { EsporaError } from '../errors.js';
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

/** Where a value came from; earlier ones win. */
export type Source = 'flag' | 'environment' | 'file' | 'default';

/** One option of a command with its value and origin. */
export interface Setting {
  readonly name: OptionName;
  readonly flag: string;
  readonly variable: string;
  /** The value as text, as it could be given; undefined where there is none. */
  readonly text: string | undefined;
  readonly source: Source;
  /** The flag, variable or file that gave it; `default` otherwise. */
  readonly origin: string;
}

/** What was given for a command. */
export interface Sources {
  /** By option name, only those that were given. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly file?: ConfigFile | undefined;
}

/** A configuration file's content; its keys are known options. */
export interface ConfigFile {
  readonly path: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/** The options of a command, checked. */
export interface Resolution<C extends Command> {
  readonly values: Values<C>;
  readonly settings: readonly Setting[];
}

const invalid = (message: string): EsporaError => new EsporaError('ERR_ESPORA_INVALID', message);

// Variables of ours that are no options: they choose which binary of the addon is loaded.
const otherVariables = ['ESPORA_ADDON'] as const;

/** Every variable with our prefix that means something. */
export const knownVariables: readonly string[] = Object.freeze([
  ...optionNames.map(variableOf).filter((name) => name.startsWith('ESPORA_')),
  ...otherVariables,
]);

/** Throws for the first variable that has our prefix and no meaning. */
export function checkEnvironment(environment: Readonly<Record<string, string | undefined>>): void {
  for (const name of Object.keys(environment)) {
    if (name.startsWith('ESPORA_') && !knownVariables.includes(name)) {
      throw invalid(`unknown environment variable ${name}${suggestion(name, knownVariables)}`);
    }
  }
}

/** Reads a configuration file: one JSON object whose keys are names of options. */
export function readConfigFile(path: string): ConfigFile {
  let json: string;
  try {
    json = readFileSync(path, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw invalid(`the configuration file ${path} cannot be read (${reason})`);
  }
  return parseConfigFile(path, json);
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
  // An empty variable counts as absent: that is what `VARIABLE=${UNSET}` in a compose file gives.
  if (text !== undefined && text !== '') {
    return { value: text, source: 'environment', origin: variable };
  }
  if (sources.file !== undefined && Object.hasOwn(sources.file.content, name)) {
    return { value: sources.file.content[name], source: 'file', origin: sources.file.path };
  }
  return undefined;
}

const shown = (value: unknown): string => {
  const json = JSON.stringify(value) as string | undefined;
  return json === undefined || json.length > 200 ? 'wrong' : json;
};

function check(name: OptionName, { value, source, origin }: Given): unknown {
  const parsed = optionOf(name).kind.schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const where = source === 'file' ? `${name} in ${origin}` : origin;
  throw invalid(`${where} is ${shown(value)}: ${parsed.error.issues[0]!.message}`);
}

/**
 * The options of `command` by precedence flag, environment, file, default. Throws
 * ERR_ESPORA_INVALID with one sentence for the first value that is refused. Pure.
 */
export function resolveOptions<C extends Command>(command: C, sources: Sources): Resolution<C> {
  if (sources.environment !== undefined) checkEnvironment(sources.environment);
  const { values, settings } = resolveNames(optionsOf(command), sources);
  return { values: values as unknown as Values<C>, settings };
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

/** The options of a class: typed input, checked like a command's. Throws ERR_ESPORA_INVALID. */
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
  return values as ServiceValues<S>;
}
