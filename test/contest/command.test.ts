import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { checkedOptions } from '#espora/contest/command.js';
import type { ContestResult } from '#espora/contest/result.js';
import { outputOf, RunningProgram } from '#espora/lab/program.js';
import type { Ended } from '#espora/lab/program.js';
import { topologies } from '#espora/topology/index.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';
import { playOn, validations } from './plans.js';
import { referenceServer, startReferenceServer } from './reference-server.js';

const main = fileURLToPath(new URL('small-main.js', import.meta.url));

/** Starts the program, which ends with the test. */
function start(t: ExecutionContext, args: readonly string[]): RunningProgram {
  const program = new RunningProgram(process.execPath, [main, ...args]);
  t.teardown(() => program.child.kill('SIGKILL'));
  return program;
}

const run = (t: ExecutionContext, args: readonly string[]): Promise<Ended> => start(t, args).ended;

test('a good run: a report on stdout, nothing else, exit 0', async (t) => {
  const { port } = await referenceServer(t);
  const { exitCode, stdout, stderr } = await run(t, ['short', String(port)]);
  t.is(stderr, '');
  t.is(exitCode, 0);
  t.regex(stdout, /^espora contest: \d+ requests \(short\) to http:\/\/127.0.0.1:\d+, seed 7\n\n/);
  t.regex(stdout, /would be\s+USD [\d,]+\.\d\d.*, if the plan short were the whole test/);
  t.false(stdout.includes('\u001b'));
});

test('on a terminal colours are colours, unless nobody wants them', async (t) => {
  const terminal = 'data:text/javascript,process.stdout.isTTY = true';
  for (const [noColour, report] of [
    ['', /ESC\[32mokESC\[39m[^]*would be\s+ESC\[/],
    ['1', /: ok\n(?![^]*ESC)/],
  ] as const) {
    const { port } = await referenceServer(t);
    const stdout = await outputOf(
      process.execPath,
      ['--import', terminal, main, 'short', String(port)],
      { env: { ...process.env, NO_COLOR: noColour } },
    );
    t.regex(stdout.replaceAll('\u001b', 'ESC'), report);
    t.false(stdout.includes(String.raw`\u001b`), stdout);
  }
});

test('--json: the result on stdout and nothing else', async (t) => {
  const { port } = await referenceServer(t);
  const { exitCode, stdout } = await run(t, ['short', String(port), '--json']);
  const result = JSON.parse(stdout) as ContestResult;
  t.is(exitCode, 0);
  t.like(result, { version: 1, outcome: 'passed', plan: 'short', seed: 7, failures: 0 });
  t.is(result.requests, result.plannedRequests);
  t.true(result.timeline.length > 0);
});

test('a failure: exit 1', async (t) => {
  const { port } = await referenceServer(t, {
    answer: ({ client }) => (client === 6 ? { status: 200, json: {} } : undefined),
  });
  const { exitCode, stdout } = await run(t, ['short', String(port)]);
  t.is(exitCode, 1);
  t.regex(stdout, /status 200 instead of 404/);
});

test('a store that is not fresh: exit 2 and the command that makes one', async (t) => {
  const { port } = await referenceServer(t);
  await playOn(port, validations);
  const { exitCode, stderr } = await run(t, ['contest', '--quick', '--port', String(port)]);
  t.is(exitCode, 2);
  t.regex(stderr, /^espora contest: the store is not fresh: .* npm start -- --data DIR\.\n$/);
});

test('nothing listens: exit 1 and one sentence', async (t) => {
  const server = await startReferenceServer();
  server.close();
  const args = ['contest', '--wait', '0', '--port', String(server.port)];
  const { exitCode, stderr } = await run(t, args);
  t.is(exitCode, 1);
  t.is(
    stderr,
    `espora contest: nothing listens on 127.0.0.1:${server.port} after 0 s; ` +
      'start the service with: npm start.\n',
  );
});

for (const [what, args] of [
  ['a port of letters', ['--port', 'abc']],
  ['port 0', ['--port', '0']],
  ['a port too many', ['--port', '65536']],
  ['a negative seed', ['--seed=-1']],
  ['a fraction of a second', ['--wait', '1.5']],
  ['an unknown flag', ['--fast']],
  ['a word', ['now']],
] as const) {
  test(`usage: ${what}: exit 2`, async (t) => {
    const { exitCode, stderr, stdout } = await run(t, ['contest', ...args]);
    t.is(exitCode, 2);
    t.regex(stderr, /^error: /);
    t.is(stdout, '');
  });
}

test('what --saturate needs is looked for before anything is played', async (t) => {
  const { port, connections } = await referenceServer(t);
  const directory = temporaryDirectory(t);
  const cmake = join(directory, 'cmake');
  writeFileSync(cmake, '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  const program = new RunningProgram(
    process.execPath,
    [main, 'contest', '--quick', '--saturate', '--port', String(port)],
    { env: { ...process.env, PATH: `${directory}:${process.env['PATH'] ?? ''}` } },
  );
  const { exitCode, stdout, stderr } = await program.ended;
  t.is(exitCode, 1);
  t.is(stdout, '');
  t.regex(stderr, /^espora contest: the load generator can't be built: .*cmake is not installed/);
  t.is(connections(), 0);
});

test('a topology is known by its older name too', (t) => {
  const given = { host: '127.0.0.1', port: 9999, wait: 0, json: false, limits: true };
  for (const [named, meant] of [
    ['relay', 'relay'],
    ['proxy', 'relay'],
    ['single', 'single'],
  ] as const) {
    const { topology } = checkedOptions({ ...given, topology: named });
    t.is(topology, meant);
    t.true(Object.hasOwn(topologies, topology!));
  }
});

test('help names the flags', async (t) => {
  const { exitCode, stdout } = await run(t, ['contest', '--help']);
  t.is(exitCode, 0);
  for (const flag of ['--quick', '--host', '--port', '--seed', '--wait', '--json']) {
    t.true(stdout.includes(flag), flag);
  }
});

test('Ctrl-C while it waits: exit 130', async (t) => {
  const server = await startReferenceServer();
  server.close();
  const args = ['contest', '--port', String(server.port)];
  const program = start(t, args);
  await program.heard(() => program.stderr.includes('waiting') || undefined);
  const { exitCode, stdout, stderr } = await program.stop('SIGINT');
  t.is(exitCode, 130);
  t.regex(stderr, /^waiting up to 40 s: nothing listens on /);
  t.regex(stdout, /requests\s+0 of 61,503/);
});

for (const flags of [[], ['--json']]) {
  test(`Ctrl-C in the middle of the load: what there is, exit 130 ${flags.join('')}`, async (t) => {
    let inLoad: () => void = () => undefined;
    const seen = new Promise<void>((resolve) => (inLoad = resolve));
    const { port } = await referenceServer(t, {
      answer: ({ load }) => {
        if (load) inLoad();
        return undefined;
      },
    });
    const program = start(t, ['contest', '--quick', '--port', String(port), ...flags]);
    await seen;
    const { exitCode, stdout } = await program.stop('SIGINT');
    t.is(exitCode, 130);
    if (flags.length > 0) {
      const result = JSON.parse(stdout) as ContestResult;
      t.is(result.outcome, 'interrupted');
      t.true(result.requests >= 123 && result.requests < result.plannedRequests);
    } else {
      t.regex(stdout, /prize\s+none: the run was stopped/);
      t.regex(stdout, /requests\s+\d+ of 7,794/);
    }
  });
}
