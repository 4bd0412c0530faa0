// How little and how much each option that is an amount takes, and which choices there are: what a setup
// that works today relies on. Written out here, so that a bound that moves is noticed.
import test from 'ava';
import { optionNames, optionOf } from '#espora/options/table.js';
import type { OptionName } from '#espora/options/table.js';

/** The least and the most, and what lies just outside. */
const bounds: Readonly<
  Partial<Record<OptionName, { takes: readonly string[]; refuses: readonly string[] }>>
> = {
  port: { takes: ['0', '65535'], refuses: ['-1', '65536'] },
  metricsPort: { takes: ['0', '65535'], refuses: ['-1', '65536'] },
  listenFds: { takes: ['1', '64'], refuses: ['0', '65'] },
  fsyncInterval: { takes: ['0', '1ms', '1m'], refuses: ['60001ms'] },
  segmentBytes: { takes: ['1MiB', '256MiB'], refuses: ['768KiB', '262400KiB'] },
  bodyBytesMax: { takes: ['1', '1MiB'], refuses: ['0', '1048577'] },
  headerTimeout: { takes: ['10ms', '10m'], refuses: ['0', '9ms', '600001ms'] },
  bodyTimeout: { takes: ['10ms', '10m'], refuses: ['0', '9ms', '600001ms'] },
  keepAliveTimeout: { takes: ['10ms', '60m'], refuses: ['0', '9ms', '3600001ms'] },
  connectTimeout: { takes: ['1ms', '1m'], refuses: ['0', '60001ms'] },
  idleTimeout: { takes: ['10ms', '60m'], refuses: ['0', '9ms', '3600001ms'] },
  halfCloseTimeout: { takes: ['10ms', '60m'], refuses: ['0', '9ms', '3600001ms'] },
  sessionTimeout: { takes: ['0', '1ms', '1440m'], refuses: ['86400001ms'] },
  resolveInterval: { takes: ['0', '1ms', '1440m'], refuses: ['86400001ms'] },
  connectionsMax: { takes: ['1', '1000000'], refuses: ['0', '1000001'] },
  upstreamConnectionsMax: { takes: ['0', '1000000'], refuses: ['-1', '1000001'] },
  ejectAfter: { takes: ['0', '64'], refuses: ['-1', '65'] },
  ejectWindow: { takes: ['10ms', '60m'], refuses: ['0', '9ms', '3600001ms'] },
  ejectSilence: { takes: ['0', '1ms', '60m'], refuses: ['3600001ms'] },
  ejectTime: { takes: ['10ms', '60m'], refuses: ['0', '9ms', '3600001ms'] },
  ejectTimeMax: { takes: ['10ms', '60m'], refuses: ['0', '9ms', '3600001ms'] },
  readmitAfter: { takes: ['1', '1000'], refuses: ['0', '1001'] },
  healthInterval: { takes: ['10ms', '60m'], refuses: ['0', '9ms', '3600001ms'] },
  healthTimeout: { takes: ['10ms', '1m'], refuses: ['0', '9ms', '60001ms'] },
  healthFall: { takes: ['1', '1000'], refuses: ['0', '1001'] },
  healthRise: { takes: ['1', '1000'], refuses: ['0', '1001'] },
  drainTimeout: { takes: ['0', '1ms', '10m'], refuses: ['600001ms'] },
};

for (const name of optionNames) {
  const { kind } = optionOf(name);
  const known = bounds[name];
  // An amount says its bounds where it refuses.
  if (known === undefined && !/ from .+ to /.test(kind.expected)) continue;
  test(`${name} takes its least and its most, and nothing beyond`, (t) => {
    t.truthy(known, 'its bounds are missing in the table of this test');
    for (const text of known!.takes) t.true(kind.schema.safeParse(text).success, text);
    for (const text of known!.refuses) t.false(kind.schema.safeParse(text).success, text);
  });
}

const choices: Readonly<Partial<Record<OptionName, readonly string[]>>> = {
  topology: ['relay', 'handoff', 'single'],
  balance: ['round-robin', 'least-connections'],
  mode: ['relay', 'handoff'],
  healthCheck: ['off', 'connect', 'http'],
  proxyProtocolSend: ['off', 'v2'],
  logLevel: ['debug', 'info', 'warn', 'error', 'silent'],
  logFormat: ['auto', 'text', 'json'],
};

test('the options that are a choice, and what there is to choose', (t) => {
  const found = optionNames.flatMap((name) => {
    const shown = /^<([a-z0-9-]+(?:\|[a-z0-9-]+)+)>$/.exec(optionOf(name).kind.placeholder)?.[1];
    return shown === undefined ? [] : [[name, shown.split('|')] as const];
  });
  t.deepEqual(Object.fromEntries(found), choices);
  for (const [name, values] of found) {
    for (const value of values) t.is(optionOf(name).kind.schema.parse(value), value as never);
  }
});
