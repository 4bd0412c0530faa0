// Options in groups: `health: { check: 'http', path: '/up' }` for `healthCheck` and `healthPath`. Only
// names are translated; the options are those of the table.
import { invalid } from '../errors.js';
import { suggestion } from './suggest.js';
import type { OptionName, ServiceInput, ServiceKind } from './table.js';

/** The groups: each key with the option that it stands for. */
export const optionGroups = Object.freeze({
  listen: {
    host: 'host',
    port: 'port',
    unixSocket: 'unixSocket',
    unixSocketMode: 'unixSocketMode',
    fds: 'listenFds',
    handoffUsers: 'handoffUsers',
  },
  health: {
    check: 'healthCheck',
    interval: 'healthInterval',
    timeout: 'healthTimeout',
    path: 'healthPath',
    host: 'healthHost',
    status: 'healthStatus',
    fall: 'healthFall',
    rise: 'healthRise',
    ejectAfter: 'ejectAfter',
    ejectWindow: 'ejectWindow',
    ejectSilence: 'ejectSilence',
    ejectTime: 'ejectTime',
    ejectTimeMax: 'ejectTimeMax',
    readmitAfter: 'readmitAfter',
  },
  limits: {
    connections: 'connectionsMax',
    upstreamConnections: 'upstreamConnectionsMax',
  },
  timeouts: {
    connect: 'connectTimeout',
    idle: 'idleTimeout',
    halfClose: 'halfCloseTimeout',
    session: 'sessionTimeout',
  },
  proxyProtocol: {
    from: 'proxyProtocolFrom',
    send: 'proxyProtocolSend',
  },
} as const satisfies Record<string, Readonly<Record<string, OptionName>>>);

type Groups = typeof optionGroups;
type Member<Input, Name> = Name extends keyof Input ? Input[Name] : never;

/** The options of a service's class, each by its name in the table or in its group. */
export type Grouped<S extends ServiceKind> = ServiceInput<S> & {
  readonly [Group in keyof Groups]?:
    | { readonly [Key in keyof Groups[Group]]?: Member<ServiceInput<S>, Groups[Group][Key]> }
    | undefined;
};

/**
 * The options by their names in the table. Throws ERR_ESPORA_INVALID for an unknown key of a group and for
 * an option that is given twice. Values are not checked.
 */
export function flattenOptions<S extends ServiceKind>(
  service: S,
  given: Grouped<S>,
): ServiceInput<S> {
  const flat: Record<string, unknown> = {};
  const put = (name: string, value: unknown): void => {
    if (value === undefined) return;
    if (Object.hasOwn(flat, name)) throw invalid(`the option ${name} of ${service} is given twice`);
    flat[name] = value;
  };
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(optionGroups, key)) {
      put(key, value);
      continue;
    }
    if (value === undefined) continue;
    const group: Readonly<Record<string, string>> = optionGroups[key as keyof Groups];
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw invalid(`${key} of ${service} must be an object with ${Object.keys(group).join(', ')}`);
    }
    for (const [member, memberValue] of Object.entries(value)) {
      const name = Object.hasOwn(group, member) ? group[member] : undefined;
      if (name === undefined) {
        throw invalid(
          `unknown option ${key}.${member} of ${service}${suggestion(member, Object.keys(group))}`,
        );
      }
      put(name, memberValue);
    }
  }
  return flat as ServiceInput<S>;
}
