// From flags, environment and file to options: precedence, origins, unknown names, freezing.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { EsporaError } from '#espora/errors.js';
import { loadAccounts } from '#espora/options/accounts.js';
import { defaultAccounts } from '#espora/lab/accounts.js';
import {
  knownVariables,
  parseConfigFile,
  readConfigFile,
  resolveOptions,
  resolveServiceOptions,
} from '#espora/options/resolve.js';
import type { Sources } from '#espora/options/resolve.js';
import { editDistance, nearest } from '#espora/options/suggest.js';
import {
  commands,
  flagOf,
  optionNames,
  optionOf,
  optionsOf,
  serviceOptionsOf,
  variableOf,
} from '#espora/options/table.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const file = (content: Record<string, unknown>): Sources['file'] => ({ path: 'f.json', content });

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof EsporaError && error.code === 'ERR_ESPORA_INVALID') return error.message;
    throw error;
  }
  return 'accepted';
}

test('flag beats environment beats file beats default, one option at a time', (t) => {
  const all: Sources = {
    flags: { port: '1' },
    environment: { PORT: '2' },
    file: file({ port: 3 }),
  };
  const cases = [
    [all, 1, 'flag', '--port'],
    [{ ...all, flags: {} }, 2, 'environment', 'PORT'],
    [{ file: all.file }, 3, 'file', 'f.json'],
    [{}, 9999, 'default', 'default'],
  ] as const;
  for (const [sources, value, source, origin] of cases) {
    const { values, settings } = resolveOptions('start', sources);
    t.is(values.port, value);
    const setting = settings.find(({ name }) => name === 'port')!;
    t.is(setting.source, source);
    t.is(setting.origin, origin);
    t.is(setting.text, String(value));
  }
});

test('a lower source is not even looked at where a higher one gives the value', (t) => {
  const sources = { flags: { port: '1' }, environment: { PORT: 'x' }, file: file({ port: 'y' }) };
  t.is(resolveOptions('start', sources).values.port, 1);
});

test('an empty variable counts as absent', (t) => {
  t.is(resolveOptions('start', { environment: { PORT: '' } }).values.port, 9999);
});

test('without a unix socket the port has a default, with one it has none', (t) => {
  t.is(resolveOptions('database', {}).values.port, 9999);
  t.is(resolveOptions('database', { environment: { UNIX_SOCKET: '/a' } }).values.port, undefined);
  const both = { environment: { UNIX_SOCKET: '/a', PORT: '1' } };
  t.is(resolveOptions('database', both).values.port, 1);
});

test('fsync interval: absent, 0 and 0s are strict, anything else is relaxed', (t) => {
  for (const [text, ms] of [
    ['0', 0],
    ['0s', 0],
    ['10ms', 10],
    ['1s', 1000],
  ] as const) {
    const environment = { ESPORA_FSYNC_INTERVAL: text };
    t.is(resolveOptions('database', { environment }).values.fsyncInterval, ms);
  }
  t.is(resolveOptions('database', {}).values.fsyncInterval, 0);
});

test('an unknown variable of ours is a warning with a suggestion, others are not our business', (t) => {
  const warnings = (environment: Record<string, string>): readonly string[] =>
    resolveOptions('start', { environment }).warnings;
  const means = (name: string): string =>
    `the environment variable ${name} means nothing and is ignored`;
  t.deepEqual(warnings({ ESPORA_FSYNC_INTERVALL: '1s', ESPORA_XYZZY_QUUX: '1' }), [
    `${means('ESPORA_FSYNC_INTERVALL')}; did you mean ESPORA_FSYNC_INTERVAL?`,
    means('ESPORA_XYZZY_QUUX'),
  ]);
  // Those of our variables that have no prefix, given one.
  for (const name of ['PORT', 'DB', 'UPSTREAMS', 'UNIX_SOCKET', 'LISTEN_FDS']) {
    t.deepEqual(warnings({ [`ESPORA_${name}`]: '8080' }), [
      `${means(`ESPORA_${name}`)}; did you mean ${name}?`,
    ]);
  }
  t.deepEqual(warnings({ HOME: '/', ESPORA: '1', ESPORA_ADDON: '/x', ESPORA_IMAGE: 'x:1' }), []);
  t.deepEqual(warnings({ ESPORA_XYZZY_QUUX: '', ESPORA_PORT: '', ESPORA_SERVICE_HOST: '' }), []);
  // Known, but of another service: one environment for all of them is fine.
  t.deepEqual(warnings({ ESPORA_MODE: 'nonsense', DB: 'nonsense' }), []);
});

// What Kubernetes sets for the service `name` with the port `port`:
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
function serviceLinks(name: string, port: number): Record<string, string> {
  const prefix = name.toUpperCase().replaceAll('-', '_');
  const one = `${prefix}_PORT_${String(port)}_TCP`;
  return {
    [`${prefix}_SERVICE_HOST`]: '10.0.0.11',
    [`${prefix}_SERVICE_PORT`]: String(port),
    [`${prefix}_SERVICE_PORT_HTTP`]: String(port),
    [`${prefix}_PORT`]: `tcp://10.0.0.11:${String(port)}`,
    [one]: `tcp://10.0.0.11:${String(port)}`,
    [`${one}_PROTO`]: 'tcp',
    [`${one}_PORT`]: String(port),
    [`${one}_ADDR`]: '10.0.0.11',
  };
}

test('service links of Kubernetes stop nothing and set nothing, whatever the service is called', (t) => {
  for (const command of commands) {
    for (const name of ['espora', 'espora-metrics', 'espora-api-1', 'espora-health']) {
      const environment = serviceLinks(name, 9999);
      const { values, warnings } = resolveOptions(command, { environment });
      t.deepEqual(values, resolveOptions(command, {}).values, name);
      t.is(warnings.length, 1, name);
      t.regex(warnings[0]!, /^ignored, because .* and 5 more \(in Kubernetes, enableServiceLinks/);
    }
  }
  // For every option whose variable a link can have.
  for (const name of optionNames
    .map(variableOf)
    .filter((variable) => /^ESPORA_.*_PORT$/.test(variable))) {
    const { settings } = resolveOptions('database', {
      environment: { [name]: 'udp://10.0.0.1:53' },
    });
    t.is(settings.find(({ variable }) => variable === name)?.source, 'default', name);
  }
  // The setting of that name is still one, and a wrong value of it is still refused.
  t.is(resolveOptions('api', { environment: { ESPORA_METRICS_PORT: '9' } }).values.metricsPort, 9);
  t.regex(
    refusal(() => resolveOptions('api', { environment: { ESPORA_METRICS_PORT: 'x' } })),
    /^ESPORA_METRICS_PORT is "x"/,
  );
});

test('every variable with our prefix that our own compose files read is known', (t) => {
  const read = new Set<string>();
  for (const name of readdirSync('docker')) {
    const text = readFileSync(join('docker', name), 'utf8');
    for (const [variable] of text.matchAll(/ESPORA_[A-Z_]+/g)) read.add(variable);
  }
  t.true(read.has('ESPORA_IMAGE'));
  for (const variable of read) t.true(knownVariables.includes(variable), variable);
});

test('a name that a file has twice is an error that names it, at any depth', (t) => {
  t.is(
    refusal(() => parseConfigFile('f.json', '{"port": 1, "host": "::", "\\u0070ort": 2}')),
    'port is in f.json twice: give it once',
  );
  t.is(
    refusal(() => parseConfigFile('f.json', '{"accounts": [{"id": 1, "limit": 1, "limit": 2}]}')),
    'limit is in f.json twice: give it once',
  );
  // Texts and several objects may say the same.
  const fine =
    '{"name": "name", "host": "a:b", "accounts": [{"id": 1, "limit": 1}, {"id": 2, "limit": 1}]}';
  t.is(
    refusal(() => parseConfigFile('f.json', fine)),
    'accepted',
  );
});

test("without a table a new store gets the contest's accounts", (t) => {
  const limits = [100_000, 80_000, 1_000_000, 10_000_000, 500_000];
  t.deepEqual(
    defaultAccounts,
    limits.map((limit, i) => ({ id: i + 1, limit })),
  );
});

test('a table of accounts says which account is wrong, and in what', (t) => {
  for (const [table, message] of [
    [
      '[{"id":1,"limit":2},{"id":2,"limit":-5}]',
      /limit of account 2 of the table is -5: it must be a whole number from 0/,
    ],
    ['[{"id":0,"limit":2}]', /id of account 1 of the table is 0: it must be a whole number from 1/],
    ['[{"id":1}]', /limit of account 1 of the table is missing/],
    [
      '[{"id":1,"limit":2,"limite":3}]',
      /account 1 of the table has limite: an account has id and limit/,
    ],
    ['[{"id":1,"limit":2},7]', /account 2 of the table must be an object/],
    ['[{"id":1,"limit":2,"id":3}]', /an account has id twice/],
    ['[{"id":1,', /as JSON it is wrong/],
    [
      JSON.stringify(Array.from({ length: 10_001 }, (_, i) => ({ id: i + 1, limit: 0 }))),
      /it has 10001 accounts, and at most 10000 are possible/,
    ],
  ] as const) {
    t.regex(
      refusal(() => resolveOptions('database', { flags: { accounts: table } })),
      message,
    );
  }
  // A program's own may hold what no JSON does.
  const circle: { self?: unknown } = {};
  circle.self = circle;
  for (const [id, shown] of [
    [1n, '1n'],
    [circle, 'an object'],
    [Symbol('one'), 'a symbol'],
    [() => 1, 'a function'],
  ] as const) {
    t.regex(
      refusal(() =>
        resolveServiceOptions('database', { accounts: [{ id, limit: 2 }] as unknown as string }),
      ),
      new RegExp(`id of account 1 of the table is ${shown}: it must be a whole number from 1`),
    );
  }
});

test('a list that is too long names its limit', (t) => {
  const many = (count: number, text: string): string =>
    Array.from({ length: count }, () => text).join(',');
  for (const [name, text, message] of [
    ['upstreams', many(257, '/a'), /there are 257 addresses, and at most 256 are possible/],
    ['proxyProtocolFrom', many(257, '10.0.0.0/8'), /there are 257 networks, and at most 256/],
    ['handoffUsers', many(65, '1'), /there are 65 users, and at most 64/],
    ['healthPath', `/${'x'.repeat(1024)}`, /at most 1024 characters/],
  ] as const) {
    t.regex(
      refusal(() => resolveOptions('balancer', { flags: { [name]: text } })),
      message,
    );
  }
});

test('idle connections are kept longer than by what stands in front', (t) => {
  const keepAliveMs = optionOf('keepAliveTimeout').default as number;
  const nginx = readFileSync('docker/nginx.conf', 'utf8');
  const seconds = Number(/keepalive_timeout (\d+)s;/.exec(nginx)?.[1]);
  t.true(seconds * 1000 < keepAliveMs, 'nginx');
  // A relay is silent as long as its client is: the database gives up first, and says so in HTTP.
  t.true(keepAliveMs < (optionOf('idleTimeout').default as number), 'balancer and api');
});

test('an unknown key of a file is an error with a suggestion', (t) => {
  t.is(
    refusal(() => parseConfigFile('f.json', '{"prot": 1}')),
    'unknown option prot in f.json; did you mean port?',
  );
  t.is(
    refusal(() => parseConfigFile('f.json', '{"host": "::", "port": 1, "prot": 1}')),
    'unknown option prot in f.json; did you mean port?',
    'however many known ones stand before it',
  );
  t.is(
    refusal(() => parseConfigFile('f.json', '{"__proto__": 1}')),
    'unknown option __proto__ in f.json',
  );
  t.is(
    refusal(() => parseConfigFile('f.json', '[]')),
    'the configuration file f.json must hold one JSON object',
  );
  t.regex(
    refusal(() => parseConfigFile('f.json', '{')),
    /^the configuration file f.json is not JSON: /,
  );
});

test('a file that is not there is one sentence', (t) => {
  t.is(
    refusal(() => readConfigFile('/nonexistent.json')),
    'the configuration file /nonexistent.json cannot be read (ENOENT)',
  );
});

test('a refused value is named with where it came from', (t) => {
  const start = (sources: Sources): string => refusal(() => resolveOptions('start', sources));
  const must = 'it must be a whole number from 0 to 65535';
  t.is(start({ flags: { port: 'x' } }), `--port is "x": ${must}`);
  t.is(start({ environment: { PORT: 'x' } }), `PORT is "x": ${must}`);
  t.is(start({ file: file({ port: -1 }) }), `port in f.json is -1: ${must}`);
  t.is(start({ file: file({ port: null }) }), `port in f.json is null: ${must}`);
});

test('handoff is a topology, and a mode of every service that forwards', (t) => {
  t.is(resolveOptions('start', { flags: { topology: 'handoff' } }).values.topology, 'handoff');
  for (const service of ['balancer', 'api'] as const) {
    const environment = { ESPORA_MODE: 'handoff' };
    t.is(resolveOptions(service, { environment }).values.mode, 'handoff');
    t.regex(
      refusal(() => resolveOptions(service, { environment: { ESPORA_MODE: 'splice' } })),
      /ESPORA_MODE is "splice": it must be relay or handoff$/,
    );
  }
});

test('resolved options and their lists are frozen, and no default can be changed through them', (t) => {
  const { values, settings } = resolveOptions('database', {});
  t.true(Object.isFrozen(values));
  t.true(Object.isFrozen(settings));
  t.true(
    Object.isFrozen(
      resolveServiceOptions('database', { accounts: '[{"id":1,"limit":2}]' }).accounts,
    ),
  );
  t.true(defaultAccounts.every((account) => Object.isFrozen(account)));
  const upstreams = ['/a'];
  const balancer = resolveServiceOptions('balancer', { upstreams });
  upstreams.push('/b');
  t.deepEqual(balancer.upstreams, ['/a']);
  t.true(Object.isFrozen(balancer.upstreams));
});

test('options of a class are checked like those of a command', (t) => {
  t.is(resolveServiceOptions('database', { fsyncInterval: '10ms' }).fsyncInterval, 10);
  t.is(resolveServiceOptions('database', { fsyncInterval: 10 }).fsyncInterval, 10);
  t.is(resolveServiceOptions('api', { port: undefined }).port, 9999);
  t.is(
    refusal(() => resolveServiceOptions('database', { dta: '/x' } as object)),
    'unknown option dta of database; did you mean data?',
  );
  t.is(
    refusal(() => resolveServiceOptions('database', { upstreams: [] } as object)),
    'unknown option upstreams of database',
  );
  t.is(
    refusal(() => resolveServiceOptions('database', { logLevel: 'info' } as object)),
    'unknown option logLevel of database',
  );
  t.regex(
    refusal(() => resolveServiceOptions('api', { db: 'x' })),
    /^db in the options is "x": it must be/,
  );
});

test('every option of a class is one of its command', (t) => {
  for (const service of ['balancer', 'api', 'database'] as const) {
    const names = new Set(optionsOf(service));
    t.true(serviceOptionsOf(service).every((name) => names.has(name)));
  }
});

test('flags and variables are distinct, and every default is a value of its kind', (t) => {
  t.is(new Set(optionNames.map(flagOf)).size, optionNames.length);
  t.is(new Set(optionNames.map(variableOf)).size, optionNames.length);
  for (const name of optionNames) {
    const { kind, default: value, commands: uses, help, defaultUnless } = optionOf(name);
    t.true(uses.length > 0 && uses.every((command) => commands.includes(command)), name);
    t.false(help.endsWith('.'), name);
    for (const other of defaultUnless ?? []) {
      t.true((optionNames as readonly string[]).includes(other));
    }
    if (value !== undefined) t.deepEqual(kind.schema.parse(kind.format(value)), value, name);
  }
});

test('what a setting says as text gives the same value when it is given', (t) => {
  const given = {
    data: '/x',
    fsyncInterval: '1.5s',
    accounts: [{ id: 7, limit: 0 }],
    segmentBytes: 2 ** 20,
  };
  for (const command of commands) {
    const first = resolveOptions(command, { file: file(command === 'database' ? given : {}) });
    const environment = Object.fromEntries(
      first.settings.map(({ variable, text }) => [variable, text]),
    );
    t.deepEqual(resolveOptions(command, { environment }).values, first.values, command);
  }
});

test('a table of accounts is read from a file, and what is wrong with it is named', (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'accounts.json');
  writeFileSync(path, '[{"id": 9, "limit": 1}]');
  t.deepEqual(loadAccounts(path), [{ id: 9, limit: 1 }]);
  writeFileSync(path, '[{"id": 9, "limit": 1}, {"id": 9, "limit": 1}]');
  t.regex(
    refusal(() => loadAccounts(path)),
    /accounts\.json is wrong: account 9 is in the table twice$/,
  );
  t.regex(
    refusal(() => loadAccounts(directory)),
    /cannot be read \(EISDIR\)$/,
  );
});

test('edit distance counts insertions, deletions, substitutions and swaps', (t) => {
  for (const [a, b, distance] of [
    ['', '', 0],
    ['a', '', 1],
    ['abc', 'abd', 1],
    ['abc', 'acb', 1],
    ['kitten', 'sitting', 3],
    ['ab', 'ba', 1],
  ] as const) {
    t.is(editDistance(a, b), distance);
    t.is(editDistance(b, a), distance);
  }
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
      const distance = editDistance(a, b);
      return (distance === 0) === (a === b) && distance <= Math.max(a.length, b.length);
    }),
  );
  t.pass();
});

test('every slip of one letter in a variable finds it again', (t) => {
  for (const variable of knownVariables) {
    for (let at = 'ESPORA_'.length; at < variable.length; at++) {
      const slip = variable.slice(0, at) + variable.slice(at + 1);
      if (knownVariables.includes(slip)) continue;
      t.truthy(nearest(slip, knownVariables), slip);
    }
    t.is(nearest(`${variable}X`, knownVariables), variable);
  }
});
