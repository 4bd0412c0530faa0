// Options in groups are the same options by shorter names: every member of every group, and all at once.
import test from 'ava';
import { flattenOptions, optionGroups } from '#espora/options/groups.js';
import type { Grouped } from '#espora/options/groups.js';
import { optionNames } from '#espora/options/table.js';

const flatten = (given: Record<string, unknown>): Record<string, unknown> =>
  flattenOptions('balancer', given as Grouped<'balancer'>);

test('every member of every group is its option, all groups at once', (t) => {
  const given: Record<string, Record<string, unknown>> = {};
  const expected: Record<string, unknown> = { data: 'as it is' };
  for (const [group, members] of Object.entries(optionGroups)) {
    for (const [member, name] of Object.entries(members as Record<string, string>)) {
      t.true((optionNames as readonly string[]).includes(name), name);
      t.false(Object.hasOwn(expected, name), `${name} is in two groups`);
      const value = `${group}.${member}`;
      given[group] = { ...given[group], [member]: value };
      expected[name] = value;
      t.deepEqual(flatten({ [group]: { [member]: value } }), { [name]: value });
    }
  }
  t.deepEqual(flatten({ ...given, data: 'as it is' }), expected);
});

// A program names them: they are part of the interface, and none may be lost unnoticed.
test('the groups have the members that programs use', (t) => {
  const members = Object.entries(optionGroups).map(([group, names]) => [group, Object.keys(names)]);
  t.deepEqual(Object.fromEntries(members), {
    listen: ['host', 'port', 'unixSocket', 'unixSocketMode', 'fds', 'handoffUsers'],
    health: [
      ...['check', 'interval', 'timeout', 'path', 'host', 'status', 'fall', 'rise'],
      ...['ejectAfter', 'ejectWindow', 'ejectSilence', 'ejectTime', 'ejectTimeMax', 'readmitAfter'],
    ],
    limits: ['connections', 'upstreamConnections'],
    timeouts: ['connect', 'idle', 'halfClose', 'session'],
    proxyProtocol: ['from', 'send'],
  });
});

test('what is undefined is not given, in a group and as one', (t) => {
  t.deepEqual(flatten({ listen: undefined, health: { path: undefined, rise: 1 } }), {
    healthRise: 1,
  });
});

test('what is given twice, unknown or no group is refused', (t) => {
  for (const [given, message] of [
    [{ listen: { port: 1 }, port: 2 }, 'the option port of balancer is given twice'],
    [{ port: 2, listen: { port: 1 } }, 'the option port of balancer is given twice'],
    [
      { limits: { connections: 1, conections: 2 } },
      'unknown option limits.conections of balancer; did you mean connections?',
    ],
    [{ limits: { toString: 1 } }, 'unknown option limits.toString of balancer'],
    ...[null, 1, 'x', []].map(
      (limits) =>
        [
          { limits },
          'limits of balancer must be an object with connections, upstreamConnections',
        ] as const,
    ),
  ] as const) {
    t.throws(() => flatten(given as Record<string, unknown>), {
      code: 'ERR_ESPORA_INVALID',
      message,
    });
  }
});
