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

function option<
  Input,
  Value,
  const Uses extends Command,
  const Scope extends 'service' | 'process' = 'service',
  Default extends NoInfer<Value> | undefined = undefined,
  const Unless extends readonly string[] | undefined = undefined,
>(
  spec: Pick<
    OptionSpec<Input, Value, Default, Uses, Scope, Unless>,
    'kind' | 'commands' | 'variable' | 'help'
  > & { readonly default?: Default; readonly defaultUnless?: Unless; readonly scope?: Scope },
): OptionSpec<Input, Value, Default, Uses, Scope, Unless> {
  return Object.freeze({
    default: undefined as Default,
    defaultUnless: undefined as Unless,
    scope: 'service' as Scope,
    ...spec,
  });
}

const minuteMs = 60_000;
const everyService = ['start', 'balancer', 'api', 'database'] as const;
const forwarders = ['start', 'balancer', 'api'] as const;

/** Every option by its name, in the order of help texts; `help` says what each is. */
export const optionTable = Object.freeze({
  topology: option({
    // Up to 0.1, `relay` was called `proxy`.
    kind: kinds.choice(['relay', 'handoff', 'single'], { proxy: 'relay' }),
    default: 'relay',
    commands: ['start'],
    scope: 'process',
    help: 'which services to start and how they are connected',
  }),
  host: option({
    kind: kinds.host(),
    default: '0.0.0.0',
    commands: everyService,
    help: 'name or address to listen on; a name stands for all its addresses',
  }),
  port: option({
    kind: kinds.port(),
    default: 9999,
    defaultUnless: ['unixSocket', 'listenFds'],
    commands: everyService,
    variable: 'PORT',
    help: 'TCP port to listen on; 0: the kernel chooses',
  }),
  unixSocket: option({
    kind: kinds.socketPath(),
    commands: ['balancer', 'api', 'database'],
    variable: 'UNIX_SOCKET',
    help: 'unix socket to listen on, instead of a port or besides one',
  }),
  unixSocketMode: option({
    kind: kinds.fileMode(),
    default: 0o600,
    commands: ['balancer', 'api', 'database'],
    help: 'permissions of the unix socket, in octal',
  }),
  handoffUsers: option({
    kind: kinds.userIds(),
    commands: ['balancer', 'api', 'database'],
    help: 'ids of other users whose services may hand clients over to this one or receive them from it',
  }),
  listenFds: option({
    kind: kinds.count({ min: 1, max: 64 }),
    commands: everyService,
    variable: 'LISTEN_FDS',
    help: 'number of listening sockets to take over, from descriptor 3 on (systemd sets it)',
  }),
  upstreams: option({
    kind: kinds.upstreams(),
    commands: ['balancer'],
    variable: 'UPSTREAMS',
    help: 'where to forward to, separated by commas: host:port or a path with a slash, optionally with " weight=2"',
  }),
  balance: option({
    kind: kinds.choice(['round-robin', 'least-connections']),
    default: 'round-robin',
    commands: ['balancer'],
    help: 'how the next upstream is chosen: in turn, or the fewest connections in relation to the weight',
  }),
  db: option({
    kind: kinds.address(),
    commands: ['api'],
    variable: 'DB',
    help: 'where to forward to: host:port or a path with a slash',
  }),
  mode: option({
    kind: kinds.choice(['relay', 'handoff']),
    default: 'relay',
    commands: ['balancer', 'api'],
    help: "relay: copy bytes; handoff: pass the client's socket on to upstreams on this machine",
  }),
  data: option({
    kind: kinds.path('a directory'),
    default: './data',
    commands: ['start', 'database', 'inspect', 'verify', 'export', 'repair', 'backup'],
    help: "the store's directory",
  }),
  fsyncInterval: option({
    kind: kinds.duration({ minMs: 0, maxMs: minuteMs }),
    default: 0,
    commands: ['start', 'database'],
    help: '0: flush before each answer; otherwise relaxed: answer first, flush within this time',
  }),
  accounts: option({
    kind: accounts(),
    commands: ['start', 'database'],
    help: "accounts to create, with their limits: a JSON array, or a file that contains one; existing accounts stay as they are; a new store without this option gets the contest's five",
  }),
  segmentBytes: option({
    kind: kinds.bytes({ min: 2 ** 20, max: 2 ** 28, multipleOf: 2 ** 18 }),
    commands: ['start', 'database'],
    help: "size of each of the store's files, fixed when the store is created; 64MiB for a new store if not given",
  }),
  bodyBytesMax: option({
    kind: kinds.bytes({ min: 1, max: 2 ** 20 }),
    // A transaction needs about 60 bytes, its longest spelling in escapes about 200.
    default: 4096,
    commands: ['start', 'database'],
    help: 'largest body of a request',
  }),
  headerTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: 10 * minuteMs }),
    default: 10_000,
    commands: ['start', 'database'],
    help: "how long a request's head may take to arrive",
  }),
  bodyTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: 10 * minuteMs }),
    default: 10_000,
    commands: ['start', 'database'],
    help: "how long a request's body may take to arrive",
  }),
  keepAliveTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    // Longer than proxies keep idle connections, usually a minute: the side that sends the next request must
    // be the first to close, or it sends the request into a closed connection.
    default: 75_000,
    commands: ['start', 'database'],
    help: 'how long a connection may stay open between requests; choose more than the proxies in front do',
  }),
  connectTimeout: option({
    kind: kinds.duration({ minMs: 1, maxMs: minuteMs }),
    default: 1000,
    commands: forwarders,
    help: 'how long one attempt to reach an upstream may take',
  }),
  idleTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 90_000,
    commands: forwarders,
    help: 'how long a forwarded connection may be silent',
  }),
  halfCloseTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 30_000,
    commands: forwarders,
    help: 'how long a forwarded connection may be silent after one direction ended',
  }),
  sessionTimeout: option({
    kind: kinds.duration({ minMs: 0, maxMs: 24 * 60 * minuteMs }),
    default: 0,
    commands: forwarders,
    help: 'how long a forwarded connection may last, however busy it is; 0: without limit',
  }),
  resolveInterval: option({
    kind: kinds.duration({ minMs: 0, maxMs: 24 * 60 * minuteMs }),
    default: 10_000,
    commands: ['balancer', 'api'],
    help: 'time after which names of upstreams are resolved again; 0: only after a failed connect',
  }),
  connectionsMax: option({
    kind: kinds.count({ min: 1, max: 1_000_000 }),
    default: 10_000,
    commands: everyService,
    help: "most connections at once; further ones wait in the kernel's queue",
  }),
  upstreamConnectionsMax: option({
    kind: kinds.count({ min: 0, max: 1_000_000 }),
    default: 0,
    commands: ['balancer'],
    help: "most connections at once at each upstream; further ones wait in the kernel's queue; 0: any number",
  }),
  ejectAfter: option({
    kind: kinds.count({ min: 0, max: 64 }),
    default: 5,
    commands: ['balancer'],
    help: 'consecutive failures (no connection, closed before any answer, or silent for too long) that eject an upstream; 0: never',
  }),
  ejectWindow: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 10_000,
    commands: ['balancer'],
    help: 'only failures within this time count',
  }),
  ejectSilence: option({
    kind: kinds.duration({ minMs: 0, maxMs: 60 * minuteMs }),
    default: 10_000,
    commands: ['balancer'],
    help: 'how long an upstream may take to send anything after a request before that counts as a failure; 0: only the idle and half-close timeouts count',
  }),
  ejectTime: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 1000,
    commands: ['balancer'],
    help: 'length of the first ejection; each further one without a recovery is twice as long',
  }),
  ejectTimeMax: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 30_000,
    commands: ['balancer'],
    help: 'length of the longest ejection',
  }),
  readmitAfter: option({
    kind: kinds.count({ min: 1, max: 1000 }),
    default: 2,
    commands: ['balancer'],
    help: 'consecutive successful sessions that end the time after an ejection in which one failure ejects again',
  }),
  healthCheck: option({
    kind: kinds.choice(['off', 'connect', 'http']),
    default: 'off',
    commands: ['balancer'],
    help: 'whether upstreams are checked all the time, and how: by connecting, or by a GET',
  }),
  healthInterval: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 1000,
    commands: ['balancer'],
    help: 'time between two checks of an upstream',
  }),
  healthTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: minuteMs }),
    default: 1000,
    commands: ['balancer'],
    help: 'how long a check may take',
  }),
  healthPath: option({
    kind: kinds.requestPath(),
    default: '/',
    commands: ['balancer'],
    help: 'path that the GET of a check asks for',
  }),
  healthHost: option({
    kind: kinds.host(),
    commands: ['balancer'],
    help: "Host field of the GET of a check; the upstream's address if not given",
  }),
  healthStatus: option({
    kind: kinds.statusRange(),
    default: Object.freeze({ min: 200, max: 399 }),
    commands: ['balancer'],
    help: 'status codes that count as healthy',
  }),
  healthFall: option({
    kind: kinds.count({ min: 1, max: 1000 }),
    default: 3,
    commands: ['balancer'],
    help: 'consecutive failed checks that take an upstream out of use',
  }),
  healthRise: option({
    kind: kinds.count({ min: 1, max: 1000 }),
    default: 2,
    commands: ['balancer'],
    help: 'consecutive successful checks that bring it back into use',
  }),
  proxyProtocolFrom: option({
    kind: kinds.networks(),
    commands: ['balancer', 'api'],
    help: 'networks (or unix) whose clients must send a PROXY header, v1 or v2',
  }),
  proxyProtocolSend: option({
    kind: kinds.choice(['off', 'v2']),
    default: 'off',
    commands: ['balancer', 'api'],
    help: 'whether connections to upstreams begin with a PROXY header',
  }),
  adminSocket: option({
    kind: kinds.socketPath(),
    commands: ['balancer'],
    scope: 'process',
    help: 'unix socket for espora admin, accessible to its owner only',
  }),
  drainTimeout: option({
    kind: kinds.duration({ minMs: 0, maxMs: 10 * minuteMs }),
    default: 5000,
    commands: everyService,
    scope: 'process',
    help: 'how long open connections may go on after a stop begins',
  }),
  name: option({
    kind: kinds.label(),
    commands: ['balancer', 'api', 'database'],
    help: 'name in process lists, output and logs; the kind of service if not given',
  }),
  runDirectory: option({
    kind: kinds.path('a directory'),
    commands: ['start'],
    scope: 'process',
    help: "directory of the services' sockets; if not given, a private one that is removed at the end",
  }),
  readyFile: option({
    kind: kinds.path('a file'),
    commands: everyService,
    scope: 'process',
    help: "file that exists while clients are served and tells the image's health check how to check that",
  }),
  metricsPort: option({
    kind: kinds.port(),
    commands: everyService,
    scope: 'process',
    help: 'TCP port for /metrics (Prometheus) and /stats (JSON); neither is served if not given',
  }),
  metricsHost: option({
    kind: kinds.host(),
    default: '127.0.0.1',
    commands: everyService,
    scope: 'process',
    help: 'name or address that the metrics port listens on; a name stands for all its addresses',
  }),
  logLevel: option({
    kind: kinds.choice(['debug', 'info', 'warn', 'error', 'silent']),
    default: 'info',
    commands: everyService,
    scope: 'process',
    help: 'least severe messages that are logged',
  }),
  logFormat: option({
    kind: kinds.choice(['auto', 'text', 'json']),
    default: 'auto',
    commands: everyService,
    scope: 'process',
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
