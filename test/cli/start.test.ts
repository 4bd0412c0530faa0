// `espora start` for real: what it prints, who runs, what survives a kill, how it stops. One test at
// a time: each runs up to five processes.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { until } from '#espora/lab/until.js';
import { balance, credit, send, statement } from '../helpers/http.js';
import type { Target } from '../helpers/http.js';
import { isRunning, statOf, titleOf } from '../helpers/process.js';
import { startEspora, startOnTerminal } from '../helpers/program.js';
import type { EventLine, Program, ProgramOptions } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

interface Whole {
  readonly program: Program;
  readonly data: string;
  readonly target: Target;
  /** Process id by service, of the first lives. */
  readonly pids: ReadonlyMap<string, number>;
}

const isReady = (service: string) => (event: EventLine) => event['service'] === service;

/** A whole service on a port of its own with a fresh store, once it is ready. */
async function startWhole(
  t: ExecutionContext,
  args: readonly string[] = [],
  options: ProgramOptions = {},
): Promise<Whole> {
  const data = join(temporaryDirectory(t), 'data');
  const program = startEspora(
    t,
    ['start', '--host', '127.0.0.1', '--port', '0', '--data', data, '--json', ...args],
    options,
  );
  await program.event('ready');
  const ready = program.events.filter(({ event }) => event === 'service-ready');
  const started = ready.at(-1)!['started'] as { port: number };
  const pids = new Map(ready.map((event) => [event['service'] as string, event['pid'] as number]));
  t.teardown(() => {
    // If the program was killed and its services did not end: the test has failed already.
    for (const pid of pids.values()) if (isRunning(pid)) process.kill(pid, 'SIGKILL');
  });
  return { program, data, target: { port: started.port }, pids };
}

function allEnded(pids: Iterable<number>): Promise<boolean> {
  return until('all services have ended', () => [...pids].every((pid) => !isRunning(pid)));
}

for (const [topology, services] of [
  ['relay', ['database', 'api 1', 'api 2', 'balancer']],
  ['single', ['database']],
] as const) {
  test.serial(`${topology}: starts, answers, shows who is who, stops`, async (t) => {
    const { program, target, pids } = await startWhole(t, ['--topology', topology]);
    t.deepEqual([...pids.keys()], [...services]);
    t.is(titleOf(program.pid), 'espora start');
    for (const [service, pid] of pids) {
      t.is(titleOf(pid), `espora ${service}`);
      t.is(statOf(pid)?.session, pid);
      t.is(statOf(pid)?.parent, program.pid);
    }
    t.is((await statement(target, 1)).status, 200);
    t.is((await credit(target, 1, 7)).status, 200);
    t.is(await balance(target, 1), 7);
    t.is((await statement(target, 6)).status, 404);
    const ended = await program.stop();
    t.is(ended.exitCode, 0);
    t.is(ended.stderr, '');
    t.true([...pids.values()].every((pid) => !isRunning(pid)));
    t.deepEqual(
      program.events
        .filter(({ event }) => event === 'service-stopped')
        .map(({ service }) => service),
      services.toReversed(),
    );
  });
}

test.serial(
  'a person reads one line per service, one when all is ready, and the same backwards',
  async (t) => {
    const directory = temporaryDirectory(t);
    const program = startEspora(t, ['start', '--port', '0', '--data', 'store'], { cwd: directory });
    await until('it is ready', () => program.stdout.includes('Ctrl-C'));
    const { stdout, stderr, exitCode } = await program.stop('SIGINT');
    t.is(exitCode, 0);
    t.is(stderr, '');
    t.is(
      stdout
        .replace(/espora \d+\.\d+\.\d+:/, 'espora V:')
        .replace(/\d+\.\d s:/, 'N s:')
        .replace(/:\d{4,5} /, ':PORT '),
      [
        'espora V: balancer → 2 api instances → database, every hop a relay (topology relay)',
        '  database  ready: 0 transactions in store; each answer waits until it is on disk',
        '  api 1     ready → database',
        '  api 2     ready → database',
        '  balancer  ready → api 1, api 2',
        'Ready after N s: http://localhost:PORT (Ctrl-C stops it)',
        'Stopping (a second Ctrl-C ends it at once)',
        '  balancer  stopped',
        '  api 2     stopped',
        '  api 1     stopped',
        '  database  stopped',
        'Stopped',
        '',
      ].join('\n'),
    );
  },
);

test.serial(
  'relaxed mode is said where it starts, and what was answered is flushed at a stop',
  async (t) => {
    const directory = temporaryDirectory(t);
    const args = ['start', '--port', '0', '--topology', 'single', '--data', 'store'];
    const program = startEspora(t, args, {
      cwd: directory,
      environment: { ESPORA_FSYNC_INTERVAL: '10ms' },
    });
    await until('it is ready', () => program.stdout.includes('Ctrl-C'));
    t.regex(program.stdout, /RELAXED: a crash can lose the last 10ms of answers/);
    const port = Number(/localhost:(\d+)/.exec(program.stdout)![1]);
    t.is((await credit({ port }, 2, 5)).status, 200);
    await program.stop();
    const again = startEspora(t, args, { cwd: directory });
    await until('it is ready', () => again.stdout.includes('Ctrl-C'));
    t.regex(again.stdout, /ready: 1 transaction in store; each answer waits until it is on disk/);
    await again.stop();
  },
);

test.serial('sockets live in a private directory that is gone afterwards', async (t) => {
  const { program, pids } = await startWhole(t);
  const ready = program.events.filter(({ event }) => event === 'service-ready');
  const sockets = ready.flatMap(
    ({ started }) => (started as { unixSocket?: string }).unixSocket ?? [],
  );
  t.is(sockets.length, 3);
  const directory = dirname(sockets[0]!);
  t.is(statSync(directory).mode & 0o777, 0o700);
  for (const socket of sockets) {
    t.is(dirname(socket), directory);
    t.is(statSync(socket).mode & 0o777, 0o600);
  }
  await program.stop();
  t.false(existsSync(directory));
  t.is(pids.size, 4);
});

test.serial('a run directory of the caller is used, and left as it was', async (t) => {
  const directory = temporaryDirectory(t);
  const kept = join(directory, 'kept');
  mkdirSync(kept, { mode: 0o700 });
  for (const run of [kept, join(directory, 'a', 'b')]) {
    const { program } = await startWhole(t, ['--run-directory', run]);
    const sockets = ['api-1.sock', 'api-2.sock', 'database.sock'];
    t.deepEqual(
      readdirSync(run).sort(),
      sockets.flatMap((name) => [name, `${name}.handoff`]),
    );
    await program.stop();
  }
  t.deepEqual(readdirSync(kept), []);
  t.deepEqual(readdirSync(directory), ['kept']);
});

test.serial(
  'a service killed: it comes back, the others stay, nothing answered is missing',
  async (t) => {
    const { program, pids, target } = await startWhole(t);
    const running = new Map(pids);
    let credited = 0;
    for (const service of ['database', 'api 1', 'balancer']) {
      for (let i = 0; i < 5; i++) {
        t.is((await credit(target, 3, 1)).status, 200, service);
        credited++;
      }
      process.kill(pids.get(service)!, 'SIGKILL');
      const again = await program.event(
        'service-ready',
        (event) => event['service'] === service && event['restarts'] === 1,
      );
      t.not(again['pid'], pids.get(service));
      t.false(isRunning(pids.get(service)!), service);
      running.set(service, again['pid'] as number);
      for (const [name, pid] of running) t.true(isRunning(pid), `${service}: ${name}`);
      // The balancer too comes back where clients look for it, also on a port that the kernel chose.
      const total = await until('it answers', () => balance(target, 3).catch(() => undefined));
      t.is(total, credited, service);
      t.regex(
        program.stderr,
        new RegExp(`"msg":"${service} was killed by SIGKILL; it starts again in 100 ms"`),
      );
    }
    t.is((await program.stop()).exitCode, 0);
  },
);

test.serial(
  'killed itself, while a client holds a connection open: every service ends, and the private directory is gone',
  async (t) => {
    const { program, pids, target } = await startWhole(t, ['--drain-timeout', '10m']);
    const ready = program.events.find(isReady('database'))!;
    const directory = dirname((ready['started'] as { unixSocket: string }).unixSocket);
    // It goes through one of the apis: the other has no client.
    const client = connect((target as { port: number }).port, '127.0.0.1');
    t.teardown(() => client.destroy());
    client.on('error', () => undefined);
    await new Promise((resolve) => client.once('connect', resolve));
    process.kill(program.pid, 'SIGKILL');
    await allEnded(pids.values());
    await until('the directory is gone', () => !existsSync(directory));
    t.false(existsSync(directory));
  },
);

test.serial(
  'a store that turns out damaged at a restart ends the whole with exit code 3',
  async (t) => {
    const { program, data, pids } = await startWhole(t);
    const store = join(data, 'STORE');
    const bytes = readFileSync(store);
    bytes[20]! ^= 1;
    writeFileSync(store, bytes);
    process.kill(pids.get('database')!, 'SIGKILL');
    const ended = await program.ended;
    t.is(ended.exitCode, 3);
    t.regex(ended.stderr, /^espora: database ended for good: .*STORE.*\.$/m);
    await allEnded(pids.values());
  },
);

/** A connection with a request of which the last byte is missing. */
async function unfinishedRequest(
  t: ExecutionContext,
  target: Target,
): Promise<{ client: Socket; text: () => string }> {
  const client = connect((target as { port: number }).port, '127.0.0.1');
  t.teardown(() => client.destroy());
  client.on('error', () => undefined);
  let text = '';
  client.setEncoding('latin1').on('data', (part: string) => (text += part));
  await new Promise((resolve) => client.once('connect', resolve));
  client.write('GET /clientes/1/extrato HTTP/1.1\r\nHost: a\r\n\r');
  return { client, text: () => text };
}

test.serial('a request that is under way at the stop is answered', async (t) => {
  const { program, target } = await startWhole(t, ['--drain-timeout', '10m']);
  const { client, text } = await unfinishedRequest(t, target);
  program.child.kill('SIGTERM');
  await program.event('service-stopping');
  client.write('\n');
  await until('it is answered', () => text().includes('ultimas_transacoes'));
  t.regex(text(), /^HTTP\/1\.1 200 /);
  // Only the client knows that it wants no more: then the balancer may end.
  client.end();
  t.is((await program.ended).exitCode, 0);
  t.false(program.events.some(({ event }) => event === 'stopping-at-once'));
});

test.serial('a second signal ends at once what would drain for long', async (t) => {
  const { program, target, pids } = await startWhole(t, ['--drain-timeout', '10m']);
  await unfinishedRequest(t, target);
  program.child.kill('SIGTERM');
  await program.event('service-stopping');
  await until('it ends at once', () => {
    program.child.kill('SIGTERM');
    return program.events.some(({ event }) => event === 'stopping-at-once');
  });
  t.is((await program.ended).exitCode, 0);
  t.true([...pids.values()].every((pid) => !isRunning(pid)));
});

test.serial(
  'two signals in one breath are one wish: npm forwards what the terminal sent already',
  async (t) => {
    const { program } = await startWhole(t, ['--topology', 'single']);
    program.child.kill('SIGINT');
    program.child.kill('SIGINT');
    const ended = await program.ended;
    t.is(ended.exitCode, 0);
    t.false(program.events.some(({ event }) => event === 'stopping-at-once'));
    t.true(
      program.events
        .filter(({ event }) => event === 'service-stopped')
        .every(({ killed }) => killed === false),
    );
  },
);

test.serial('a reader of its lines that goes away does not end it', async (t) => {
  const { program, target, pids } = await startWhole(t, ['--topology', 'single']);
  program.child.stdout!.destroy();
  program.child.stderr!.destroy();
  // Makes it print and log.
  const pid = pids.get('database')!;
  process.kill(pid, 'SIGKILL');
  await until('the database is gone', () => !isRunning(pid));
  // Its socket may still take connections while the last of its threads ends: those are reset.
  await until('the service answers', async () => {
    const answer = await statement(target, 1).catch(() => undefined);
    return answer?.status === 200;
  });
  t.is((await program.stop()).exitCode, 0);
});

test.serial('the environment of the caller does not leak options into services', async (t) => {
  const { program, target } = await startWhole(t, [], {
    environment: {
      UNIX_SOCKET: '/nonexistent/x.sock',
      UPSTREAMS: '/nonexistent',
      DB: '/nonexistent',
      PORT: '1',
    },
  });
  t.is((await statement(target, 1)).status, 200);
  await program.stop();
});

test.serial('metrics and statistics of all services come from one port', async (t) => {
  const { program, target } = await startWhole(t, [
    '--metrics-port',
    '0',
    '--fsync-interval',
    '10ms',
  ]);
  t.is((await credit(target, 1, 1)).status, 200);
  const { port } = (await program.event('metrics')) as unknown as { port: number };
  const text = (await send({ port }, 'GET', '/metrics')).body;
  t.regex(text, /^espora_transactions_total\{service="database"\} 1$/m);
  t.regex(text, /^espora_sessions_total\{service="balancer"\} 1$/m);
  t.regex(text, /^espora_fsync_interval_seconds\{service="database"\} 0\.01$/m);
  t.regex(text, /^espora_restarts_total\{service="api 2"\} 0$/m);
  const stats = JSON.parse((await send({ port }, 'GET', '/stats')).body) as { name: string }[];
  t.deepEqual(
    stats.map(({ name }) => name),
    ['database', 'api 1', 'api 2', 'balancer'],
  );
  t.is((await send({ port }, 'GET', '/')).status, 404);
  t.is((await send({ port }, 'POST', '/metrics')).status, 405);
  await program.stop();
});

test.serial('Ctrl-C on a terminal stops everything in order, once', async (t) => {
  const directory = temporaryDirectory(t);
  const args = ['start', '--port', '0', '--data', join(directory, 'data')];
  const program = startOnTerminal(t, args, { environment: { NO_COLOR: '1' } });
  await until('it is ready', () => program.stdout.includes('(Ctrl-C stops it)'));
  program.type('\u0003');
  const { stdout, exitCode } = await program.ended;
  t.is(exitCode, 0);
  const lines = stdout.replaceAll('\r', '').split('\n').slice(-7);
  // The terminal shows what was typed.
  lines[0] = lines[0]!.replace('^C', '');
  t.deepEqual(lines, [
    'Stopping (a second Ctrl-C ends it at once)',
    '  balancer  stopped',
    '  api 2     stopped',
    '  api 1     stopped',
    '  database  stopped',
    'Stopped',
    '',
  ]);
});

test.serial('a terminal that goes away stops everything', async (t) => {
  const directory = temporaryDirectory(t);
  const run = join(directory, 'run');
  const data = join(directory, 'data');
  const args = ['start', '--port', '0', '--topology', 'single', '--data', data];
  const program = startOnTerminal(t, [...args, '--run-directory', run]);
  await until('it is ready', () => program.stdout.includes('(Ctrl-C stops it)'));
  program.child.kill('SIGKILL');
  await until('the run directory is gone', () => !existsSync(run));
  t.false(existsSync(run));
});

test.serial('data in memory is warned about', async (t) => {
  if (!existsSync('/dev/shm') || statfsSync('/dev/shm').type !== 0x01021994) {
    t.log('there is no tmpfs at /dev/shm');
    t.pass();
    return;
  }
  const data = mkdtempSync('/dev/shm/espora-test-');
  t.teardown(() => {
    rmSync(data, { recursive: true, force: true });
  });
  const args = ['start', '--port', '0', '--topology', 'single', '--data', data, '--json'];
  const program = startEspora(t, args);
  await program.event('ready');
  const { stderr, exitCode } = await program.stop();
  const warnings = stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  t.like(warnings[0], { level: 'warn', service: 'database' });
  t.regex(String(warnings[0]!['msg']), /the data directory is on tmpfs, that is memory/);
  t.is(exitCode, 0);
});
