// The one table of options. Flags, environment, configuration file, `espora config`, help texts,
// the typed options of the classes and the table in docs/reference.md all derive from it.
import type { z } from 'zod';
import { accounts } from './accounts.js';
import * as kinds from './kinds.js';
import type { Kind } from './kinds.js';

/** The services; each is a command and a class too. */
export type ServiceKind = 'balancer' | 'api' | 'database';

/** Commands that have options of the table, in the order of help texts. */
export const commands = [
  'start',
  'balancer',
  'api',
  'database',
  'inspect',
  'verify',
  'export',
  'repair',
  'backup',
] as const;
export type Command = (typeof commands)[number];

/** One option; its flag, variable and key in a configuration file follow from its name. */
export interface OptionSpec<
  Input = never,
  Value = never,
  Default = unknown,
  Uses extends Command = Command,
  Scope extends 'service' | 'process' = 'service' | 'process',
  Unless extends readonly string[] | undefined = readonly string[] | undefined,
> {
  readonly kind: Kind<Input, Value>;
  /** Used where no value is given; undefined: there is none. */
  readonly default: Default;
  /** The default applies only if none of these other options has a value. */
  readonly defaultUnless: Unless;
  /** Commands that it applies to; others refuse its flag and ignore its variable and key. */
  readonly commands: readonly Uses[];
  /** `service`: an option of the classes too (the default). `process`: of the command only. */
  readonly scope: Scope;
  /** The environment variable, if it is not `ESPORA_` and the name. */
  readonly variable?: string;
  /** One line, without a full stop. */
  readonly help: string;
}

/** Makes the rows of options that apply to the same commands. */
function rowsOf<const Uses extends Command, const Scope extends 'service' | 'process' = 'service'>(
  commands: readonly Uses[],
  scope: Scope = 'service' as Scope,
) {
  return <
    Input,
    Value,
    Default extends NoInfer<Value> | undefined = undefined,
    const Unless extends readonly string[] | undefined = undefined,
  >(
    spec: Pick<
      OptionSpec<Input, Value, Default, Uses, Scope, Unless>,
      'kind' | 'variable' | 'help'
    > & { readonly default?: Default; readonly defaultUnless?: Unless },
  ): OptionSpec<Input, Value, Default, Uses, Scope, Unless> =>
    Object.freeze({
      default: undefined as Default,
      defaultUnless: undefined as Unless,
      commands,
      scope,
      ...spec,
    });
}

const everyService = ['start', 'balancer', 'api', 'database'] as const;
const ofEvery = rowsOf(everyService);
const ofEveryProcess = rowsOf(everyService, 'process');
const ofStartProcess = rowsOf(['start'], 'process');
const ofServices = rowsOf(['balancer', 'api', 'database']);
const ofHopsAndStart = rowsOf(['start', 'balancer', 'api']);
const ofHops = rowsOf(['balancer', 'api']);
const ofBalancer = rowsOf(['balancer']);
const ofBalancerProcess = rowsOf(['balancer'], 'process');
const ofDatabase = rowsOf(['start', 'database']);

const minuteMs = 60_000;

/** Every option by its name, in the order of help texts; `help` says what each is. */
export const optionTable = Object.freeze({
  topology: ofStartProcess({
    // Up to 0.1, `relay` was called `proxy`.
    kind: kinds.choice(['relay', 'handoff', 'single'], { proxy: 'relay' }),
    default: 'relay',
    help: 'which services to start and how they are connected',
  }),
  host: ofEvery({
    kind: kinds.host(),
    default: '0.0.0.0',
    help: 'name or address to listen on; a name stands for all its addresses',
  }),
  port: ofEvery({
    kind: kinds.port(),
    default: 9999,
    defaultUnless: ['unixSocket', 'listenFds'],
    variable: 'PORT',
    help: 'TCP port to listen on; 0: the kernel chooses',
  }),
  unixSocket: ofServices({
    kind: kinds.socketPath(),
    variable: 'UNIX_SOCKET',
    help: 'unix socket to listen on, instead of a port or besides one',
  }),
  unixSocketMode: ofServices({
    kind: kinds.fileMode(),
    default: 0o600,
    help: 'permissions of the unix socket, in octal',
  }),
  handoffUsers: ofServices({
    kind: kinds.userIds(),
    help: 'ids of other users whose services may hand clients over to this one or receive them from it',
  }),
  listenFds: ofEvery({
    kind: kinds.count({ min: 1, max: 64 }),
    variable: 'LISTEN_FDS',
    help: 'number of listening sockets to take over, from descriptor 3 on (systemd sets it)',
  }),
  upstreams: ofBalancer({
    kind: kinds.upstreams(),
    variable: 'UPSTREAMS',
    help: 'where to forward to, separated by commas: host:port or a path with a slash, optionally with " weight=2"',
  }),
  balance: ofBalancer({
    kind: kinds.choice(['round-robin', 'least-connections']),
    default: 'round-robin',
    help: 'how the next upstream is chosen: in turn, or the fewest connections in relation to the weight',
  }),
  db: rowsOf(['api'])({
    kind: kinds.address(),
    variable: 'DB',
    help: 'where to forward to: host:port or a path with a slash',
  }),
  mode: ofHops({
    kind: kinds.choice(['relay', 'handoff']),
    default: 'relay',
    help: "relay: copy bytes; handoff: pass the client's socket on to upstreams on this machine",
  }),
  data: rowsOf(['start', 'database', 'inspect', 'verify', 'export', 'repair', 'backup'])({
    kind: kinds.path('a directory'),
    default: './data',
    help: "the store's directory",
  }),
  fsyncInterval: ofDatabase({
    kind: kinds.duration({ minMs: 0, maxMs: minuteMs }),
    default: 0,
    help: '0: flush before each answer; otherwise relaxed: answer first, flush within this time',
  }),
  accounts: ofDatabase({
    kind: accounts(),
    help: "accounts to create, with their limits: a JSON array, or a file that contains one; existing accounts stay as they are; a new store without this option gets the contest's five",
  }),
  segmentBytes: ofDatabase({
    kind: kinds.bytes({ min: 2 ** 20, max: 2 ** 28, multipleOf: 2 ** 18 }),
    help: "size of each of the store's files, fixed when the store is created; 64MiB for a new store if not given",
  }),
  bodyBytesMax: ofDatabase({
    kind: kinds.bytes({ min: 1, max: 2 ** 20 }),
    // A transaction needs about 60 bytes, its longest spelling in escapes about 200.
    default: 4096,
    help: 'largest body of a request',
  }),
  headerTimeout: ofDatabase({
    kind: kinds.duration({ minMs: 10, maxMs: 10 * minuteMs }),
    default: 10_000,
    help: "how long a request's head may take to arrive",
  }),
  bodyTimeout: ofDatabase({
    kind: kinds.duration({ minMs: 10, maxMs: 10 * minuteMs }),
    default: 10_000,
    help: "how long a request's body may take to arrive",
  }),
  keepAliveTimeout: ofDatabase({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    // Longer than proxies keep idle connections, usually a minute: the side that sends the next request must
    // be the first to close, or it sends the request into a closed connection.
    default: 75_000,
    help: 'how long a connection may stay open between requests; choose more than the proxies in front do',
  }),
  connectTimeout: ofHopsAndStart({
    kind: kinds.duration({ minMs: 1, maxMs: minuteMs }),
    default: 1000,
    help: 'how long one attempt to reach an upstream may take',
  }),
  idleTimeout: ofHopsAndStart({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 90_000,
    help: 'how long a forwarded connection may be silent',
  }),
  halfCloseTimeout: ofHopsAndStart({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 30_000,
    help: 'how long a forwarded connection may be silent after one direction ended',
  }),
  sessionTimeout: ofHopsAndStart({
    kind: kinds.duration({ minMs: 0, maxMs: 24 * 60 * minuteMs }),
    default: 0,
    help: 'how long a forwarded connection may last, however busy it is; 0: without limit',
  }),
  resolveInterval: ofHops({
    kind: kinds.duration({ minMs: 0, maxMs: 24 * 60 * minuteMs }),
    default: 10_000,
    help: 'time after which names of upstreams are resolved again; 0: only after a failed connect',
  }),
  connectionsMax: ofEvery({
    kind: kinds.count({ min: 1, max: 1_000_000 }),
    default: 10_000,
    help: "most connections at once; further ones wait in the kernel's queue",
  }),
  upstreamConnectionsMax: ofBalancer({
    kind: kinds.count({ min: 0, max: 1_000_000 }),
    default: 0,
    help: "most connections at once at each upstream; further ones wait in the kernel's queue; 0: any number",
  }),
  ejectAfter: ofBalancer({
    kind: kinds.count({ min: 0, max: 64 }),
    default: 5,
    help: 'consecutive failures (no connection, closed before any answer, or silent for too long) that eject an upstream; 0: never',
  }),
  ejectWindow: ofBalancer({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 10_000,
    help: 'only failures within this time count',
  }),
  ejectSilence: ofBalancer({
    kind: kinds.duration({ minMs: 0, maxMs: 60 * minuteMs }),
    default: 10_000,
    help: 'how long an upstream may take to send anything after a request before that counts as a failure; 0: only the idle and half-close timeouts count',
  }),
  ejectTime: ofBalancer({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 1000,
    help: 'length of the first ejection; each further one without a recovery is twice as long',
  }),
  ejectTimeMax: ofBalancer({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 30_000,
    help: 'length of the longest ejection',
  }),
  readmitAfter: ofBalancer({
    kind: kinds.count({ min: 1, max: 1000 }),
    default: 2,
    help: 'consecutive successful sessions that end the time after an ejection in which one failure ejects again',
  }),
  healthCheck: ofBalancer({
    kind: kinds.choice(['off', 'connect', 'http']),
    default: 'off',
    help: 'whether upstreams are checked all the time, and how: by connecting, or by a GET',
  }),
  healthInterval: ofBalancer({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 1000,
    help: 'time between two checks of an upstream',
  }),
  healthTimeout: ofBalancer({
    kind: kinds.duration({ minMs: 10, maxMs: minuteMs }),
    default: 1000,
    help: 'how long a check may take',
  }),
  healthPath: ofBalancer({
    kind: kinds.requestPath(),
    default: '/',
    help: 'path that the GET of a check asks for',
  }),
  healthHost: ofBalancer({
    kind: kinds.host(),
    help: "Host field of the GET of a check; the upstream's address if not given",
  }),
  healthStatus: ofBalancer({
    kind: kinds.statusRange(),
    default: Object.freeze({ min: 200, max: 399 }),
    help: 'status codes that count as healthy',
  }),
  healthFall: ofBalancer({
    kind: kinds.count({ min: 1, max: 1000 }),
    default: 3,
    help: 'consecutive failed checks that take an upstream out of use',
  }),
  healthRise: ofBalancer({
    kind: kinds.count({ min: 1, max: 1000 }),
    default: 2,
    help: 'consecutive successful checks that bring it back into use',
  }),
  proxyProtocolFrom: ofHops({
    kind: kinds.networks(),
    help: 'networks (or unix) whose clients must send a PROXY header, v1 or v2',
  }),
  proxyProtocolSend: ofHops({
    kind: kinds.choice(['off', 'v2']),
    default: 'off',
    help: 'whether connections to upstreams begin with a PROXY header',
  }),
  adminSocket: ofBalancerProcess({
    kind: kinds.socketPath(),
    help: 'unix socket for espora admin, accessible to its owner only',
  }),
  drainTimeout: ofEveryProcess({
    kind: kinds.duration({ minMs: 0, maxMs: 10 * minuteMs }),
    default: 5000,
    help: 'how long open connections may go on after a stop begins',
  }),
  name: ofServices({
    kind: kinds.label(),
    help: 'name in process lists, output and logs; the kind of service if not given',
  }),
  runDirectory: ofStartProcess({
    kind: kinds.path('a directory'),
    help: "directory of the services' sockets; if not given, a private one that is removed at the end",
  }),
  readyFile: ofEveryProcess({
    kind: kinds.path('a file'),
    help: "file that exists while clients are served and tells the image's health check how to check that",
  }),
  metricsPort: ofEveryProcess({
    kind: kinds.port(),
    help: 'TCP port for /metrics (Prometheus) and /stats (JSON); neither is served if not given',
  }),
  metricsHost: ofEveryProcess({
    kind: kinds.host(),
    default: '127.0.0.1',
    help: 'name or address that the metrics port listens on; a name stands for all its addresses',
  }),
  logLevel: ofEveryProcess({
    kind: kinds.choice(['debug', 'info', 'warn', 'error', 'silent']),
    default: 'info',
    help: 'least severe messages that are logged',
  }),
  logFormat: ofEveryProcess({
    kind: kinds.choice(['auto', 'text', 'json']),
    default: 'auto',
    help: 'log lines as text or JSON; auto: text on a terminal, JSON elsewhere',
  }),
});

type Table = typeof optionTable;
/** Name of an option, as in configuration files and typed options. */
export type OptionName = keyof Table;

/** Names of all options, in the table's order. */
export const optionNames = Object.freeze(Object.keys(optionTable)) as readonly OptionName[];

export type AnyOption = OptionSpec<unknown, unknown>;

export function optionOf(name: OptionName): AnyOption {
  return optionTable[name] as unknown as AnyOption;
}

type Row = Table[OptionName];
type UsedBy<Spec extends Row, C extends Command> = Extract<Spec['commands'][number], C>;
type InputOf<Spec extends Row> = z.input<Spec['kind']['schema']>;
type ValueOf<Spec extends Row> =
  | z.output<Spec['kind']['schema']>
  | (Spec extends { readonly default: undefined } | { readonly defaultUnless: readonly string[] }
      ? undefined
      : never);

/** Names of the options of a service's class. */
type ServiceOptionName<S extends ServiceKind> = {
  [Name in OptionName]: Table[Name]['scope'] extends 'service'
    ? UsedBy<Table[Name], S> extends never
      ? never
      : Name
    : never;
}[OptionName];

/** The options that a service's class takes: durations in milliseconds, or as text with a unit. */
export type ServiceInput<S extends ServiceKind> = {
  readonly [Name in OptionName as Name extends ServiceOptionName<S> ? Name : never]?:
    InputOf<Table[Name]> | undefined;
};

/** The options of a service's class after validation, with defaults, frozen. */
export type ServiceValues<S extends ServiceKind> = {
  readonly [Name in OptionName as Name extends ServiceOptionName<S> ? Name : never]: ValueOf<
    Table[Name]
  >;
};

/** The options of a command after validation, with defaults, frozen. */
export type Values<C extends Command> = {
  readonly [Name in OptionName as UsedBy<Table[Name], C> extends never ? never : Name]: ValueOf<
    Table[Name]
  >;
};

const kebab = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** `--fsync-interval` for `fsyncInterval`. */
export function flagOf(name: OptionName): string {
  return `--${kebab(name)}`;
}

/** `ESPORA_FSYNC_INTERVAL` for `fsyncInterval`; `PORT` for `port`. */
export function variableOf(name: OptionName): string {
  return optionOf(name).variable ?? `ESPORA_${kebab(name).replaceAll('-', '_').toUpperCase()}`;
}

/** Options that apply to `command`, in the table's order. */
export function optionsOf(command: Command): readonly OptionName[] {
  return optionNames.filter((name) => optionOf(name).commands.includes(command));
}

/** Options of the class of a service, in the table's order. */
export function serviceOptionsOf(service: ServiceKind): readonly OptionName[] {
  return optionsOf(service).filter((name) => optionOf(name).scope === 'service');
}

/** The default as text, `none` where there is none. */
export function defaultText(name: OptionName): string {
  const spec = optionOf(name);
  if (spec.default === undefined) return 'none';
  return spec.kind.format(spec.default);
}
