// The one table of options. Flags, environment, configuration file, `espora config`, help texts,
// the typed options of the classes and the table in docs/reference.md all derive from it.
import type { z } from 'zod';
import { accounts } from './accounts.js';
import * as kinds from './kinds.js';
import type { Kind } from './kinds.js';

/** Commands that have options of the table. */
export type Command =
  'start' | 'balancer' | 'api' | 'database' | 'inspect' | 'verify' | 'export' | 'repair' | 'backup';
/** The services; each is a command and a class too. */
export type ServiceKind = 'balancer' | 'api' | 'database';

/** Commands that have options of the table, in the order of help texts. */
export const commands: readonly Command[] = [
  'start',
  'balancer',
  'api',
  'database',
  'inspect',
  'verify',
  'export',
  'repair',
  'backup',
];

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
  /** The value where none is given; undefined: none. */
  readonly default: Default;
  /** The default holds only where none of these other options has a value. */
  readonly defaultUnless: Unless;
  /** Commands that it applies to; elsewhere its flag is unknown, its variable and key are ignored. */
  readonly commands: readonly Uses[];
  /** `service`: an option of the classes too. `process`: of the command only. */
  readonly scope: Scope;
  /** The environment variable, where it isn't `ESPORA_` and the name. */
  readonly variable?: string;
  /** One line, without a full stop. */
  readonly help: string;
}

function option<
  Input,
  Value,
  const Uses extends Command,
  const Scope extends 'service' | 'process',
  Default extends NoInfer<Value> | undefined = undefined,
  const Unless extends readonly string[] | undefined = undefined,
>(
  spec: Omit<
    OptionSpec<Input, Value, Default, Uses, Scope, Unless>,
    'default' | 'defaultUnless'
  > & { readonly default?: Default; readonly defaultUnless?: Unless },
): OptionSpec<Input, Value, Default, Uses, Scope, Unless> {
  return Object.freeze({
    default: undefined as Default,
    defaultUnless: undefined as Unless,
    ...spec,
  });
}

const minuteMs = 60_000;
const everyService = ['start', 'balancer', 'api', 'database'] as const;
const forwarders = ['start', 'balancer', 'api'] as const;

/** Every option by its name, in the order of help texts. */
export const optionTable = Object.freeze({
  /** Which services are started and how they are connected. */
  topology: option({
    // `proxy` is what `relay` was called up to 0.1.
    kind: kinds.choice(['relay', 'handoff', 'single'], { proxy: 'relay' }),
    default: 'relay',
    commands: ['start'],
    scope: 'process',
    help: 'which services to start and how they are connected',
  }),
  /** Name or address to listen on; a name: on all its addresses. */
  host: option({
    kind: kinds.host(),
    default: '0.0.0.0',
    commands: everyService,
    scope: 'service',
    help: 'name or address to listen on; a name stands for all its addresses',
  }),
  /** TCP port to listen on; 0: the kernel chooses. */
  port: option({
    kind: kinds.port(),
    default: 9999,
    defaultUnless: ['unixSocket', 'listenFds'],
    commands: everyService,
    scope: 'service',
    variable: 'PORT',
    help: 'TCP port to listen on; 0: the kernel chooses',
  }),
  /** Unix socket to listen on, instead of a port or besides one. */
  unixSocket: option({
    kind: kinds.socketPath(),
    commands: ['balancer', 'api', 'database'],
    scope: 'service',
    variable: 'UNIX_SOCKET',
    help: 'unix socket to listen on, instead of a port or besides one',
  }),
  /** Permissions of the unix socket. */
  unixSocketMode: option({
    kind: kinds.fileMode(),
    default: 0o600,
    commands: ['balancer', 'api', 'database'],
    scope: 'service',
    help: 'permissions of the unix socket, in octal',
  }),
  /** Other users whose services may hand clients over to this one, and receive them from it. */
  handoffUsers: option({
    kind: kinds.userIds(),
    commands: ['balancer', 'api', 'database'],
    scope: 'service',
    help: 'ids of other users whose services may hand clients over to this one or receive them from it',
  }),
  /** Descriptors, from 3 on, that a service manager opened and that listen already. */
  listenFds: option({
    kind: kinds.count({ min: 1, max: 64 }),
    commands: everyService,
    scope: 'service',
    variable: 'LISTEN_FDS',
    help: 'number of listening sockets to take over, from descriptor 3 on (systemd sets it)',
  }),
  /** Where the balancer forwards to, in turn. */
  upstreams: option({
    kind: kinds.upstreams(),
    commands: ['balancer'],
    scope: 'service',
    variable: 'UPSTREAMS',
    help: 'where to forward to, separated by commas: host:port or a path with a slash, optionally with " weight=2"',
  }),
  /** Which upstream takes the next connection. */
  balance: option({
    kind: kinds.choice(['round-robin', 'least-connections']),
    default: 'round-robin',
    commands: ['balancer'],
    scope: 'service',
    help: 'how the next upstream is chosen: in turn, or the fewest connections in relation to the weight',
  }),
  /** Where an api forwards to. */
  db: option({
    kind: kinds.address(),
    commands: ['api'],
    scope: 'service',
    variable: 'DB',
    help: 'where to forward to: host:port or a path with a slash',
  }),
  /** How connections are forwarded. */
  mode: option({
    kind: kinds.choice(['relay', 'handoff']),
    default: 'relay',
    commands: ['balancer', 'api'],
    scope: 'service',
    help: "relay: copy bytes; handoff: pass the client's socket on to upstreams on this machine",
  }),
  /** Directory of the store. */
  data: option({
    kind: kinds.path('a directory'),
    default: './data',
    commands: ['start', 'database', 'inspect', 'verify', 'export', 'repair', 'backup'],
    scope: 'service',
    help: "the store's directory",
  }),
  /** 0: flush before each answer. Otherwise relaxed: answer first, flush within this time. */
  fsyncInterval: option({
    kind: kinds.duration({ minMs: 0, maxMs: minuteMs }),
    default: 0,
    commands: ['start', 'database'],
    scope: 'service',
    help: '0: flush before each answer; otherwise relaxed: answer first, flush within this time',
  }),
  /** Accounts to create, with their limits; existing accounts stay as they are. */
  accounts: option({
    kind: accounts(),
    commands: ['start', 'database'],
    scope: 'service',
    help: "accounts to create, with their limits: a JSON array, or a file that contains one; existing accounts stay as they are; a new store without this option gets the contest's five",
  }),
  /** Size of each of the store's files; fixed when the store is made. */
  segmentBytes: option({
    kind: kinds.bytes({ min: 2 ** 20, max: 2 ** 28, multipleOf: 2 ** 18 }),
    commands: ['start', 'database'],
    scope: 'service',
    help: "size of each of the store's files, fixed when the store is created; 64MiB for a new store if not given",
  }),
  /** Largest body of a request. */
  bodyBytesMax: option({
    kind: kinds.bytes({ min: 1, max: 2 ** 20 }),
    // A transaction needs about 60 bytes, its longest spelling in escapes about 200.
    default: 4096,
    commands: ['start', 'database'],
    scope: 'service',
    help: 'largest body of a request',
  }),
  /** How long a request's head may take to arrive. */
  headerTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: 10 * minuteMs }),
    default: 10_000,
    commands: ['start', 'database'],
    scope: 'service',
    help: "how long a request's head may take to arrive",
  }),
  /** How long a request's body may take to arrive. */
  bodyTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: 10 * minuteMs }),
    default: 10_000,
    commands: ['start', 'database'],
    scope: 'service',
    help: "how long a request's body may take to arrive",
  }),
  /** How long a connection may stay open between requests. */
  keepAliveTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    // Longer than proxies keep idle connections to us, which is a minute as a rule: the side that sends the
    // next request must also be the first to close, or that request meets a closed connection.
    default: 75_000,
    commands: ['start', 'database'],
    scope: 'service',
    help: 'how long a connection may stay open between requests; choose more than the proxies in front do',
  }),
  /** How long one attempt to reach an upstream may take. */
  connectTimeout: option({
    kind: kinds.duration({ minMs: 1, maxMs: minuteMs }),
    default: 1000,
    commands: forwarders,
    scope: 'service',
    help: 'how long one attempt to reach an upstream may take',
  }),
  /** How long a forwarded connection may be silent. */
  idleTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 90_000,
    commands: forwarders,
    scope: 'service',
    help: 'how long a forwarded connection may be silent',
  }),
  /** How long a forwarded connection may live on after one direction ended. */
  halfCloseTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 30_000,
    commands: forwarders,
    scope: 'service',
    help: 'how long a forwarded connection may be silent after one direction ended',
  }),
  /** How long a forwarded connection may last, however busy it is; 0: without limit. */
  sessionTimeout: option({
    kind: kinds.duration({ minMs: 0, maxMs: 24 * 60 * minuteMs }),
    default: 0,
    commands: forwarders,
    scope: 'service',
    help: 'how long a forwarded connection may last, however busy it is; 0: without limit',
  }),
  /** Time after which the names of upstreams are resolved again; 0: only after a failed connect. */
  resolveInterval: option({
    kind: kinds.duration({ minMs: 0, maxMs: 24 * 60 * minuteMs }),
    default: 10_000,
    commands: ['balancer', 'api'],
    scope: 'service',
    help: 'time after which names of upstreams are resolved again; 0: only after a failed connect',
  }),
  /** Most connections at once; further ones wait in the kernel's queue. */
  connectionsMax: option({
    kind: kinds.count({ min: 1, max: 1_000_000 }),
    default: 10_000,
    commands: everyService,
    scope: 'service',
    help: "most connections at once; further ones wait in the kernel's queue",
  }),
  /** Most connections at once at each upstream; further ones wait in the kernel's queue. */
  upstreamConnectionsMax: option({
    kind: kinds.count({ min: 0, max: 1_000_000 }),
    default: 0,
    commands: ['balancer'],
    scope: 'service',
    help: "most connections at once at each upstream; further ones wait in the kernel's queue; 0: any number",
  }),
  /** Consecutive failures that take an upstream out of use for a while; 0: never. */
  ejectAfter: option({
    kind: kinds.count({ min: 0, max: 64 }),
    default: 5,
    commands: ['balancer'],
    scope: 'service',
    help: 'consecutive failures (no connection, closed before any answer, or silent for too long) that eject an upstream; 0: never',
  }),
  /** Only failures within this time count. */
  ejectWindow: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 10_000,
    commands: ['balancer'],
    scope: 'service',
    help: 'only failures within this time count',
  }),
  /** How long an upstream may be silent after a request before that is a failure; 0: any time. */
  ejectSilence: option({
    kind: kinds.duration({ minMs: 0, maxMs: 60 * minuteMs }),
    default: 10_000,
    commands: ['balancer'],
    scope: 'service',
    help: 'how long an upstream may take to send anything after a request before that counts as a failure; 0: only the idle and half-close timeouts count',
  }),
  /** How long the first ejection lasts; each that follows without a recovery is twice as long. */
  ejectTime: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 1000,
    commands: ['balancer'],
    scope: 'service',
    help: 'length of the first ejection; each further one without a recovery is twice as long',
  }),
  /** The longest ejection. */
  ejectTimeMax: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 30_000,
    commands: ['balancer'],
    scope: 'service',
    help: 'length of the longest ejection',
  }),
  /** Consecutive successes after which an upstream counts as recovered. */
  readmitAfter: option({
    kind: kinds.count({ min: 1, max: 1000 }),
    default: 2,
    commands: ['balancer'],
    scope: 'service',
    help: 'consecutive successful sessions that end the time after an ejection in which one failure ejects again',
  }),
  /** How upstreams are checked, whether or not there are connections. */
  healthCheck: option({
    kind: kinds.choice(['off', 'connect', 'http']),
    default: 'off',
    commands: ['balancer'],
    scope: 'service',
    help: 'whether upstreams are checked all the time, and how: by connecting, or by a GET',
  }),
  /** Time between two checks of an upstream. */
  healthInterval: option({
    kind: kinds.duration({ minMs: 10, maxMs: 60 * minuteMs }),
    default: 1000,
    commands: ['balancer'],
    scope: 'service',
    help: 'time between two checks of an upstream',
  }),
  /** How long a check may take. */
  healthTimeout: option({
    kind: kinds.duration({ minMs: 10, maxMs: minuteMs }),
    default: 1000,
    commands: ['balancer'],
    scope: 'service',
    help: 'how long a check may take',
  }),
  /** What a GET asks for. */
  healthPath: option({
    kind: kinds.requestPath(),
    default: '/',
    commands: ['balancer'],
    scope: 'service',
    help: 'path that the GET of a check asks for',
  }),
  /** The Host field of a GET. */
  healthHost: option({
    kind: kinds.host(),
    commands: ['balancer'],
    scope: 'service',
    help: "Host field of the GET of a check; the upstream's address if not given",
  }),
  /** Status codes that count as healthy. */
  healthStatus: option({
    kind: kinds.statusRange(),
    default: Object.freeze({ min: 200, max: 399 }),
    commands: ['balancer'],
    scope: 'service',
    help: 'status codes that count as healthy',
  }),
  /** Consecutive failed checks that take an upstream out of use. */
  healthFall: option({
    kind: kinds.count({ min: 1, max: 1000 }),
    default: 3,
    commands: ['balancer'],
    scope: 'service',
    help: 'consecutive failed checks that take an upstream out of use',
  }),
  /** Consecutive successful checks that bring it back into use. */
  healthRise: option({
    kind: kinds.count({ min: 1, max: 1000 }),
    default: 2,
    commands: ['balancer'],
    scope: 'service',
    help: 'consecutive successful checks that bring it back into use',
  }),
  /** Clients that begin with a PROXY header. */
  proxyProtocolFrom: option({
    kind: kinds.networks(),
    commands: ['balancer', 'api'],
    scope: 'service',
    help: 'networks (or unix) whose clients must send a PROXY header, v1 or v2',
  }),
  /** Whether upstreams get a PROXY header. */
  proxyProtocolSend: option({
    kind: kinds.choice(['off', 'v2']),
    default: 'off',
    commands: ['balancer', 'api'],
    scope: 'service',
    help: 'whether connections to upstreams begin with a PROXY header',
  }),
  /** Unix socket for `espora admin`. */
  adminSocket: option({
    kind: kinds.socketPath(),
    commands: ['balancer'],
    scope: 'process',
    help: 'unix socket for espora admin, accessible to its owner only',
  }),
  /** How long open connections may last at stop. */
  drainTimeout: option({
    kind: kinds.duration({ minMs: 0, maxMs: 10 * minuteMs }),
    default: 5000,
    commands: everyService,
    scope: 'process',
    help: 'how long open connections may go on after a stop begins',
  }),
  /** Name in process lists, lines and logs. */
  name: option({
    kind: kinds.label(),
    commands: ['balancer', 'api', 'database'],
    scope: 'service',
    help: 'name in process lists, output and logs; the kind of service if not given',
  }),
  /** Where the private directory for unix sockets is made. */
  runDirectory: option({
    kind: kinds.path('a directory'),
    commands: ['start'],
    scope: 'process',
    help: "directory of the services' sockets; if not given, a private one that is removed at the end",
  }),
  /** File that exists while clients are served, and says how to check that. */
  readyFile: option({
    kind: kinds.path('a file'),
    commands: everyService,
    scope: 'process',
    help: "file that exists while clients are served and tells the image's health check how to check that",
  }),
  /** TCP port for metrics and statistics. */
  metricsPort: option({
    kind: kinds.port(),
    commands: everyService,
    scope: 'process',
    help: 'TCP port for /metrics (Prometheus) and /stats (JSON); neither is served if not given',
  }),
  /** Name or address for metrics and statistics. */
  metricsHost: option({
    kind: kinds.host(),
    default: '127.0.0.1',
    commands: everyService,
    scope: 'process',
    help: 'name or address that the metrics port listens on; a name stands for all its addresses',
  }),
  /** Least severe messages that are logged. */
  logLevel: option({
    kind: kinds.choice(['debug', 'info', 'warn', 'error', 'silent']),
    default: 'info',
    commands: everyService,
    scope: 'process',
    help: 'least severe messages that are logged',
  }),
  /** How log lines look. */
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

/** The row of an option, its types left open. */
export type AnyOption = OptionSpec<unknown, unknown>;

/** The row of an option. */
export function optionOf(name: OptionName): AnyOption {
  return optionTable[name] as unknown as AnyOption;
}

type UsedBy<Spec extends { readonly commands: readonly Command[] }, C extends Command> = Extract<
  Spec['commands'][number],
  C
>;
type InputOf<Spec> = Spec extends { readonly kind: { readonly schema: infer S extends z.ZodType } }
  ? z.input<S>
  : never;
type OutputOf<Spec> = Spec extends { readonly kind: { readonly schema: infer S extends z.ZodType } }
  ? z.output<S>
  : never;
type ValueOf<Spec> = Spec extends { readonly default: undefined }
  ? OutputOf<Spec> | undefined
  : Spec extends { readonly defaultUnless: readonly string[] }
    ? OutputOf<Spec> | undefined
    : OutputOf<Spec>;

/** Names of the options of a service's class. */
type ServiceOptionName<S extends ServiceKind> = {
  [Name in OptionName]: Table[Name]['scope'] extends 'service'
    ? UsedBy<Table[Name], S> extends never
      ? never
      : Name
    : never;
}[OptionName];

/** What may be given for a service's class: durations as milliseconds or text with its unit. */
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
