// The image's health check, as a program of this machine, beside real services that are told where to
// listen in every way there is. It reads one file, and that file alone: its own environment lies.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { containerPaths } from '#espora/lab/compose-files.js';
import { freePort } from '#espora/lab/free-port.js';
import { runProgram } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';
import { halt, resume } from '../helpers/process.js';
import { startEspora, startOnSockets } from '../helpers/program.js';
import type { EventLine, Program } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

interface Check {
  readonly directory: string;
  /** The ready file that the program reads. */
  readonly file: string;
  /** What it said about an unhealthy service; undefined: healthy. */
  readonly ask: () => Promise<string | undefined>;
}

// Made once; the path of its file counts from the folder that it runs in.
const made = mkdtempSync(join(tmpdir(), 'espora-test-'));
const program = join(made, 'healthcheck');
test.after.always(() => {
  rmSync(made, { recursive: true, force: true });
});
test.before(() => {
  const language = ['-x', 'c', '-std=gnu11', '-O1', '-Wall', '-Wextra', '-Werror'];
  const ready = ['-DREADY_FILE="ready"', '-o', program];
  execFileSync('g++', [...language, ...ready, 'docker/healthcheck.c']);
});

const lies = {
  PORT: '1',
  UNIX_SOCKET: '/nowhere',
  ESPORA_HOST: '192.0.2.1',
  ESPORA_READY_FILE: '/no',
};

function prepare(t: ExecutionContext): Check {
  const directory = temporaryDirectory(t);
  const options = { env: lies, cwd: directory };
  const ask = async (): Promise<string | undefined> => {
    const { exitCode, stderr } = await runProgram(program, ['--port', '1'], options);
    return exitCode === 0 ? undefined : stderr;
  };
  return { directory, file: join(directory, 'ready'), ask };
}

const databaseArgs = ({ directory, file }: Check): readonly string[] => [
  ...['database', '--json', '--data', join(directory, 'data'), '--ready-file', file],
];

async function healthyThenStopped(
  t: ExecutionContext,
  check: Check,
  service: Program,
): Promise<void> {
  await service.event('ready');
  t.is(await check.ask(), undefined, readFileSync(check.file, 'utf8'));
  t.is((await service.stop()).exitCode, 0);
  t.false(existsSync(check.file), 'removed at the stop');
  t.regex((await check.ask())!, /^unhealthy: .*ready is not there or not whole: not ready/);
}

const port0 = ['--port', '0'];
const ways: Readonly<
  Record<
    string,
    { args?: (check: Check) => readonly string[]; environment?: Record<string, string> }
  >
> = {
  'a port that the kernel chose': { args: () => port0 },
  'one address': { args: () => [...port0, '--host', '127.0.0.3'] },
  'every address of version 6': { args: () => [...port0, '--host', '::'] },
  'a name': { args: () => [...port0, '--host', 'localhost'] },
  'empty variables': { args: () => port0, environment: { UNIX_SOCKET: '', ESPORA_HOST: '' } },
  variables: { environment: { ESPORA_HOST: '127.0.0.4', PORT: '0' } },
  'flags beside other variables': {
    args: () => [...port0, '--host', '127.0.0.5'],
    environment: { ESPORA_HOST: '127.0.0.4', PORT: '1' },
  },
  'a configuration file': {
    args: ({ directory }) => {
      const path = join(directory, 'options.json');
      writeFileSync(path, JSON.stringify({ host: '127.0.0.6', port: 0 }));
      return ['--config', path];
    },
  },
  'a unix socket': { args: ({ directory }) => ['--unix-socket', join(directory, 'db.sock')] },
  'accounts without account 1': {
    args: () => [...port0, '--accounts', '[{"id":7,"limit":0}]'],
  },
};

for (const [way, { args, environment }] of Object.entries(ways)) {
  test.serial(`a database is asked where it listens: ${way}`, async (t) => {
    const check = prepare(t);
    const all = [...databaseArgs(check), ...(args?.(check) ?? [])];
    const program = startEspora(t, all, { environment: environment ?? {} });
    await healthyThenStopped(t, check, program);
  });
}

test.serial('on sockets that it took over, also one that is in no file system', async (t) => {
  for (const at of [{ port: 0, host: '127.0.0.1' }, { path: `\0espora-${String(process.pid)}` }]) {
    const check = prepare(t);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(at, resolve));
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    const program = startOnSockets(t, databaseArgs(check), [fd]);
    await program.event('ready');
    await new Promise((resolve) => server.close(resolve));
    await healthyThenStopped(t, check, program);
  }
});

test.serial('a PROXY header goes first where a client of this machine owes one', async (t) => {
  const database = prepare(t);
  const unixSocket = join(database.directory, 'db.sock');
  const behind = startEspora(t, [...databaseArgs(database), '--unix-socket', unixSocket]);
  await behind.event('ready');
  for (const [from, where, owes] of [
    ['127.0.0.0/8', port0, true],
    ['0.0.0.0/0,::/0', [...port0, '--host', '::'], true],
    ['::1', [...port0, '--host', '::1'], true],
    ['10.0.0.0/8,unix', port0, false],
    ['unix', ['--unix-socket', 'front.sock'], true],
    ['127.0.0.0/8', ['--unix-socket', 'front.sock'], false],
  ] as const) {
    const check = prepare(t);
    const args = ['balancer', '--json', '--upstreams', unixSocket, '--proxy-protocol-from', from];
    const program = startEspora(t, [...args, ...where, '--ready-file', check.file], {
      cwd: check.directory,
    });
    await program.event('ready');
    t.is(
      /^proxy yes$/m.test(readFileSync(check.file, 'utf8')),
      owes,
      `${from}, ${where.join(' ')}`,
    );
    await healthyThenStopped(t, check, program);
  }
  await behind.stop();
});

test.serial('espora start: the file is that of the service that clients talk to', async (t) => {
  const check = prepare(t);
  const program = startEspora(
    t,
    ['start', '--json', ...port0, '--data', join(check.directory, 'data')],
    {
      environment: { ESPORA_READY_FILE: check.file },
    },
  );
  await program.event('ready');
  const ready = (name: string): Promise<EventLine> =>
    program.event('service-ready', ({ service }) => service === name);
  const { port } = (await ready('balancer'))['started'] as { port: number };
  t.regex(readFileSync(check.file, 'utf8'), new RegExp(`^address 127.0.0.1:${String(port)}$`, 'm'));
  for (const { event, service, pid } of program.events) {
    if (event !== 'service-ready') continue;
    const environment = readFileSync(`/proc/${String(pid)}/environ`, 'utf8').split('\0');
    const told = environment.includes(`ESPORA_READY_FILE=${check.file}`);
    t.is(told, service === 'balancer', String(service));
  }
  // Whoever is behind the balancer and gone makes it unhealthy: it asks the way that clients go.
  const pid = (await ready('database'))['pid'] as number;
  t.is(await check.ask(), undefined);
  await halt(t, pid);
  t.regex((await check.ask())!, /^unhealthy: /);
  resume(pid);
  await until('it is healthy again', async () => (await check.ask()) === undefined);
  t.is((await program.stop()).exitCode, 0);
  t.false(existsSync(check.file));
});

test.serial('what was killed is not ready, and not before its next life is', async (t) => {
  const check = prepare(t);
  const port = String(await freePort());
  const args = [...databaseArgs(check), '--port', port, '--host', '127.0.0.1'];
  const first = startEspora(t, args);
  await first.event('ready');
  t.is(statSync(check.file).mode & 0o777, 0o644);
  first.child.kill('SIGKILL');
  await first.ended;
  t.regex((await check.ask())!, /^unhealthy: 127\.0\.0\.1:\d+: Connection refused/);
  // Somebody else on its port: the next life cannot begin, and nothing says that it did.
  const other = createServer((client) => client.end('HTTP/1.1 404 Not Found\r\n\r\n'));
  await new Promise<void>((resolve) => other.listen(Number(port), '127.0.0.1', resolve));
  t.is((await startEspora(t, args).ended).exitCode, 1);
  t.regex((await check.ask())!, /not ready/);
  await new Promise((resolve) => other.close(resolve));
  await healthyThenStopped(t, check, startEspora(t, args));
  t.deepEqual(readdirSync(check.directory).sort(), ['data'], 'nothing is left');
});

test.serial(
  'a place where the file cannot be: clients are served, and somebody is told',
  async (t) => {
    const check = prepare(t);
    const folder = join(check.directory, 'folder');
    mkdirSync(folder);
    const args = ['database', '--json', ...port0, '--data', join(check.directory, 'data')];
    const missing = startEspora(t, [...args, '--ready-file', join(folder, 'no', 'file')]);
    await missing.event('ready');
    const { stderr, exitCode } = await missing.stop();
    t.is(exitCode, 0);
    t.regex(stderr, /the ready file .* cannot be written \(ENOENT\): a health check will take/);
    writeFileSync(join(folder, 'file'), '');
    const inFile = startEspora(t, [...args, '--ready-file', join(folder, 'file', 'ready')]);
    await inFile.event('ready');
    t.regex((await inFile.stop()).stderr, /cannot be written \(ENOTDIR\)/);
    const long = await startEspora(t, [...args, '--ready-file', join(folder, 'x'.repeat(300))])
      .ended;
    t.is(long.exitCode, 1);
    t.regex(long.stderr, /the ready file .* cannot be looked at \(ENAMETOOLONG\)/);
    // Never what is somebody else's.
    for (const [path, content] of [
      [join(folder, 'notes'), 'mine'],
      [folder, undefined],
    ] as const) {
      if (content !== undefined) writeFileSync(path, content);
      const refused = await startEspora(t, [...args, '--ready-file', path]).ended;
      t.is(refused.exitCode, 1);
      t.regex(refused.stderr, /the ready file .* cannot be made: something else is there/);
      if (content !== undefined) t.is(readFileSync(path, 'utf8'), content);
    }
  },
);

test('a file that is not whole, or says nonsense, is not ready', async (t) => {
  const check = prepare(t);
  const whole = 'espora is ready\npid 1\nproxy no\nask /\nexpect 404\naddress 127.0.0.1:1\n';
  writeFileSync(check.file, whole);
  t.regex((await check.ask())!, /127\.0\.0\.1:1: Connection refused/);
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(check.file, whole.slice(0, length));
    if (length % 7 === 0 || length > whole.length - 8)
      t.regex((await check.ask())!, /^unhealthy: /);
  }
  for (const address of [
    '',
    'x',
    ':',
    '[::1',
    'host:80',
    '/'.repeat(200),
    '256.0.0.1:1',
    '1'.repeat(5000),
  ]) {
    writeFileSync(check.file, whole.replace('127.0.0.1:1', address));
    t.regex((await check.ask())!, /^unhealthy: /, address);
  }
  chmodSync(check.file, 0o644);
  rmSync(check.file);
});

test('image, compose files and health check mean the same file', (t) => {
  const source = readFileSync('docker/healthcheck.c', 'utf8');
  const file = /#define READY_FILE "([^"]+)"/.exec(source)![1]!;
  t.is(file, join(containerPaths.health, 'ready'));
  t.notRegex(source, /getenv|argv/, 'it reads nothing else');
  const image = readFileSync('docker/Dockerfile', 'utf8');
  t.true(image.includes(`ESPORA_READY_FILE=${file}\n`));
  t.true(image.includes(`install -d -m 1777 ${containerPaths.health}\n`));
});
