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

/** A value that no other option has, as text, and what the addon then has under the option's name. */
interface Proof {
  readonly text: string;
  readonly found: unknown;
}

const same = (text: string): Proof => ({ text, found: text });
const ms = (value: number): Proof => ({ text: `${String(value)}ms`, found: value });
const count = (value: number): Proof => ({ text: String(value), found: value });

const listening = {
  host: same('127.0.0.9'),
  port: count(4321),
  unixSocket: same('/run/own.sock'),
  unixSocketMode: { text: '652', found: 0o652 },
  handoffUsers: { text: '71,72', found: [71, 72] },
  listenFds: count(3),
  connectionsMax: count(1001),
} satisfies Partial<Record<OptionName, Proof>>;

const forwarding = {
  ...listening,
  name: same('a name'),
  mode: same('handoff'),
  connectTimeout: ms(2001),
  idleTimeout: ms(2002),
  halfCloseTimeout: ms(2003),
  sessionTimeout: ms(2004),
  resolveInterval: ms(2005),
  proxyProtocolFrom: { text: '10.9.0.0/16,unix', found: ['10.9.0.0/16', 'unix'] },
  proxyProtocolSend: same('v2'),
} satisfies Partial<Record<OptionName, Proof>>;

const proofs: Readonly<Record<ServiceKind, Partial<Record<OptionName, Proof>>>> = {
  database: {
    ...listening,
    data: same('/srv/own'),
    fsyncInterval: ms(3001),
    accounts: { text: '[{"id":31,"limit":32}]', found: [{ id: 31, limit: 32 }] },
    segmentBytes: { text: '3MiB', found: 3 * 2 ** 20 },
    bodyBytesMax: count(3002),
    headerTimeout: ms(3003),
    bodyTimeout: ms(3004),
    keepAliveTimeout: ms(3005),
  },
  api: {
    ...forwarding,
    db: { text: '/run/db.sock', found: [{ address: '/run/db.sock', weight: 1 }] },
  },
  balancer: {
    ...forwarding,
    upstreams: {
      text: '/run/a.sock weight=3,/run/b.sock',
      found: [
        { address: '/run/a.sock', weight: 3 },
        { address: '/run/b.sock', weight: 1 },
      ],
    },
    balance: same('least-connections'),
    upstreamConnectionsMax: count(1002),
    ejectAfter: count(41),
    ejectWindow: ms(4002),
    ejectSilence: ms(4005),
    ejectTime: ms(4003),
    ejectTimeMax: ms(4004),
    readmitAfter: count(45),
    healthCheck: same('http'),
    healthInterval: ms(4006),
    healthTimeout: ms(4007),
    healthPath: same('/own/path'),
    healthHost: same('own.host'),
    healthStatus: { text: '201-203', found: { min: 201, max: 203 } },
    healthFall: count(48),
    healthRise: count(49),
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

/** Under which name the addon has it: an api's one upstream is in the list that every forwarder has. */
const nameInAddon = (name: OptionName): string => (name === 'db' ? 'upstreams' : name);

function check(
  t: ExecutionContext,
  kind: ServiceKind,
  names: readonly OptionName[],
  found: object,
  way: string,
): void {
  for (const name of names) {
    const { found: expected } = proofs[kind][name]!;
    t.deepEqual((found as Found)[nameInAddon(name)], expected, `${name} of ${kind}, ${way}`);
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
