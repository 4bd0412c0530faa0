// That every option takes effect: for each row of the table and each service that it applies to, a
// value of its own is given as flag, as variable, in a file, to the class and through `espora start`,
// and is found where the addon keeps it. Both sides of the join are tested elsewhere; here a setting
// that is read from another's place, or in another unit, is another value. A row without a proof fails.
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { createService } from '#espora/cli/run-service.js';
import { createProgram } from '#espora/cli/program.js';
import { resolveOptions } from '#espora/options/resolve.js';
import type { Sources } from '#espora/options/resolve.js';
import {
  flagOf,
  optionOf,
  optionsOf,
  serviceOptionsOf,
  variableOf,
} from '#espora/options/table.js';
import type { OptionName, ServiceKind } from '#espora/options/table.js';
import { Api, Balancer, Database } from '#espora/index.js';
import { settingsInForce } from '#espora/services/service.js';
import { topologies } from '#espora/topology/index.js';
import { entryOptions, planServices } from '#espora/topology/topology.js';
import { processProofs } from './process-proofs.js';

type Found = Readonly<Record<string, unknown>>;

/** A value that no other option has, as text, and what the addon then has where. */
interface Proof {
  readonly text: string;
  /** Where it is found, by member names. */
  readonly at: string;
  readonly found: unknown;
}

const listens = (member: string, text: string, found: unknown): Proof => ({
  text,
  at: `listen.${member}`,
  found,
});
const ms = (at: string, value: number): Proof => ({ text: `${String(value)}ms`, at, found: value });
const count = (at: string, value: number): Proof => ({ text: String(value), at, found: value });

const listening = {
  host: listens('host', '127.0.0.9', '127.0.0.9'),
  port: listens('port', '4321', 4321),
  unixSocket: listens('unixSocket', '/run/own.sock', '/run/own.sock'),
  unixSocketMode: listens('unixSocketMode', '652', 0o652),
  handoffUsers: listens('handoffUsers', '71,72', [71, 72]),
  listenFds: listens('inherited', '3', [3, 4, 5]),
  connectionsMax: count('connectionsMax', 1001),
} satisfies Partial<Record<OptionName, Proof>>;

const forwarding = {
  ...listening,
  name: { text: 'a name', at: 'name', found: 'a name' },
  mode: { text: 'handoff', at: 'mode', found: 'handoff' },
  connectTimeout: ms('connectTimeoutMs', 2001),
  idleTimeout: ms('idleTimeoutMs', 2002),
  halfCloseTimeout: ms('halfCloseTimeoutMs', 2003),
  sessionTimeout: ms('sessionTimeoutMs', 2004),
  resolveInterval: ms('resolveIntervalMs', 2005),
  proxyProtocolFrom: {
    text: '10.9.0.0/16,unix',
    at: 'proxyProtocol.from',
    found: ['10.9.0.0/16', 'unix'],
  },
  proxyProtocolSend: { text: 'v2', at: 'proxyProtocol.send', found: true },
} satisfies Partial<Record<OptionName, Proof>>;

const proofs: Readonly<Record<ServiceKind, Partial<Record<OptionName, Proof>>>> = {
  database: {
    ...listening,
    data: { text: '/srv/own', at: 'directory', found: '/srv/own' },
    fsyncInterval: ms('syncIntervalMs', 3001),
    accounts: { text: '[{"id":31,"limit":32}]', at: 'accounts', found: [{ id: 31, limit: 32 }] },
    segmentBytes: { text: '3MiB', at: 'segmentBytes', found: 3 * 2 ** 20 },
    bodyBytesMax: { text: '3002', at: 'bodyBytesMax', found: 3002 },
    headerTimeout: ms('headerTimeoutMs', 3003),
    bodyTimeout: ms('bodyTimeoutMs', 3004),
    keepAliveTimeout: ms('idleTimeoutMs', 3005),
  },
  api: {
    ...forwarding,
    db: { text: '/run/db.sock', at: 'upstreams', found: [{ address: '/run/db.sock', weight: 1 }] },
  },
  balancer: {
    ...forwarding,
    upstreams: {
      text: '/run/a.sock weight=3,/run/b.sock',
      at: 'upstreams',
      found: [
        { address: '/run/a.sock', weight: 3 },
        { address: '/run/b.sock', weight: 1 },
      ],
    },
    balance: { text: 'least-connections', at: 'balance', found: 'least-connections' },
    upstreamConnectionsMax: count('upstreamConnectionsMax', 1002),
    ejectAfter: count('health.ejectAfter', 41),
    ejectWindow: ms('health.ejectWindowMs', 4002),
    ejectSilence: ms('health.ejectSilenceMs', 4005),
    ejectTime: ms('health.ejectTimeMs', 4003),
    ejectTimeMax: ms('health.ejectTimeMaxMs', 4004),
    readmitAfter: count('health.readmitAfter', 45),
    healthCheck: { text: 'http', at: 'health.check', found: 'http' },
    healthInterval: ms('health.intervalMs', 4006),
    healthTimeout: ms('health.timeoutMs', 4007),
    healthPath: { text: '/own/path', at: 'health.path', found: '/own/path' },
    healthHost: { text: 'own.host', at: 'health.host', found: 'own.host' },
    healthStatus: { text: '201-203', at: 'health', found: { statusMin: 201, statusMax: 203 } },
    healthFall: count('health.fall', 48),
    healthRise: count('health.rise', 49),
  },
};

// Options of a service's class that no addon has: a process shows them.
const shownByProcess: Partial<Record<ServiceKind, readonly OptionName[]>> = { database: ['name'] };

const kinds = Object.keys(proofs) as ServiceKind[];

/** What a service cannot be without. */
const needed: Readonly<Record<ServiceKind, Readonly<Record<string, string>>>> = {
  database: {},
  api: { db: '/run/needed.sock' },
  balancer: { upstreams: '/run/needed.sock' },
};

/** Options that exclude one another get services of their own. */
function groups(kind: ServiceKind): readonly (readonly OptionName[])[] {
  const names = serviceOptionsOf(kind).filter((name) => !shownByProcess[kind]?.includes(name));
  // A PROXY header is read or written before a socket could be handed over.
  const apart = names.filter((name) => name.startsWith('proxyProtocol'));
  return [names.filter((name) => !apart.includes(name)), apart].filter(({ length }) => length > 0);
}

function valueAt(found: Found, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (value as Found)[key], found);
}

function check(
  t: ExecutionContext,
  kind: ServiceKind,
  names: readonly OptionName[],
  found: object,
  way: string,
): void {
  for (const name of names) {
    const proof = proofs[kind][name]!;
    const value = valueAt(found as Found, proof.at);
    const label = `${name} of ${kind}, ${way}`;
    if (typeof proof.found === 'object' && !Array.isArray(proof.found))
      t.like(value, proof.found as object, label);
    else t.deepEqual(value, proof.found, label);
  }
}

/** The flags of a command line, as the program reads them. */
async function parsed(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  let flags: Readonly<Record<string, unknown>> = {};
  const actions = new Proxy(
    {},
    {
      get:
        () =>
        (...given: readonly unknown[]) => {
          flags = given.at(-1) as typeof flags;
          return Promise.resolve(0);
        },
    },
  );
  const program = createProgram(() => undefined, actions as Parameters<typeof createProgram>[1]);
  await program.parseAsync(['node', 'espora', ...args]);
  return flags;
}

/** Every way of giving these options to a command, with its name. */
async function waysOf(
  kind: ServiceKind,
  names: readonly OptionName[],
): Promise<readonly [string, Sources][]> {
  const texts = names.map((name): [OptionName, string] => [name, proofs[kind][name]!.text]);
  const rest = Object.entries(needed[kind]).filter(([name]) => !names.includes(name as OptionName));
  const all = [...texts, ...(rest as [OptionName, string][])];
  const args = all.flatMap(([name, text]) => [flagOf(name), text]);
  const environment = Object.fromEntries(all.map(([name, text]) => [variableOf(name), text]));
  return [
    ['by flag', { flags: await parsed([kind, ...args]) }],
    ['by variable', { environment }],
    ['by file', { file: { path: 'f.json', content: Object.fromEntries(all) } }],
  ];
}

for (const kind of kinds) {
  test(`${kind}: every option of the table is proven to take effect, by what the addon or a process shows`, (t) => {
    for (const name of optionsOf(kind)) {
      const proven =
        optionOf(name).scope === 'service' && !shownByProcess[kind]?.includes(name)
          ? proofs[kind][name] !== undefined
          : processProofs[name] !== undefined;
      t.true(proven, `${name} of ${kind} has no proof: give it one here or in process-proofs.ts`);
    }
    // Values that could be taken for another's prove nothing.
    const texts = Object.values(proofs[kind]).map(({ text }) => text);
    t.is(new Set(texts).size, texts.length);
    for (const [name, { text }] of Object.entries(proofs[kind])) {
      const { default: byDefault, kind: kindOfValue } = optionOf(name as OptionName);
      const value = kindOfValue.schema.parse(text);
      t.notDeepEqual(value, byDefault as never, `${name} is its default`);
    }
  });

  test(`${kind}: flags, variables and files reach the addon`, async (t) => {
    for (const names of groups(kind)) {
      for (const [way, sources] of await waysOf(kind, names)) {
        const { values } = resolveOptions(kind, sources);
        check(t, kind, names, createService(kind, values as never)[settingsInForce](), way);
      }
    }
  });

  test(`${kind}: the options of its class reach the addon`, (t) => {
    const classes = { balancer: Balancer, api: Api, database: Database };
    for (const names of groups(kind)) {
      const given = Object.fromEntries(names.map((name) => [name, proofs[kind][name]!.text]));
      const service = new classes[kind]({ ...needed[kind], ...given });
      check(t, kind, names, service[settingsInForce](), 'by property');
    }
  });
}

test('start: every option for the services reaches the addons of those that it applies to', async (t) => {
  const startNames = optionsOf('start').filter((name) => optionOf(name).scope === 'service');
  const texts = new Map<OptionName, string>();
  for (const name of startNames) {
    for (const kind of kinds) {
      const proof = proofs[kind][name];
      if (proof !== undefined) texts.set(name, proof.text);
    }
    t.true(texts.has(name), `${name} of start has no proof`);
  }
  const flags = await parsed([
    'start',
    ...[...texts].flatMap(([name, text]) => [flagOf(name), text]),
  ]);
  const { settings } = resolveOptions('start', { flags });
  const seen = new Set<OptionName>();
  for (const topology of Object.values(topologies)) {
    for (const plan of planServices(topology, settings, '/run')) {
      const { values } = resolveOptions(plan.kind, { environment: plan.environment });
      const found = createService(plan.kind, values as never)[settingsInForce]();
      const applies = startNames.filter((name) => {
        const ofEntry = entryOptions.includes(name);
        return optionsOf(plan.kind).includes(name) && (!ofEntry || plan.unixSocket === undefined);
      });
      check(t, plan.kind, applies, found, `${plan.name} of ${topology.name}`);
      for (const name of applies) seen.add(name);
    }
  }
  t.deepEqual([...seen].sort(), [...startNames].sort());
});
