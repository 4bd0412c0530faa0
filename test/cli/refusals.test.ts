// Everything that can be wrong before a service runs: one sentence on stderr that says what and what
// to do, the right exit code, nothing on stdout, no stack trace.
import { closeSync, openSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import type { Ended } from '#espora/lab/program.js';
import { runEspora, startEspora } from '../helpers/program.js';
import type { ProgramOptions } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

/** One line that starts with the program's name and ends like a sentence. */
function isOneSentence(t: ExecutionContext, { stderr }: Ended): void {
  t.regex(stderr, /^espora[a-z0-9 ]*: [^\n]*[.?]\n$/, stderr);
  t.notRegex(stderr, /\n\s+at |Error:|\.\.\n/);
}

async function refused(
  t: ExecutionContext,
  args: readonly string[],
  exitCode: number,
  sentence: RegExp,
  options: ProgramOptions = {},
): Promise<Ended> {
  const ended = await runEspora(t, args, options);
  t.regex(ended.stderr, sentence);
  isOneSentence(t, ended);
  t.is(ended.exitCode, exitCode);
  return ended;
}

for (const [args, sentence] of [
  [['start', '--prot', '1'], /unknown option '--prot'; did you mean --port\?$/m],
  [['start', '--upstreams', '/a'], /unknown option '--upstreams'/],
  [['strat'], /unknown command 'strat'; did you mean start\?$/m],
  [['start', 'now'], /too many arguments/],
  [['start', '--port'], /argument missing/],
  [
    ['start', '--port', '65536'],
    /--port is "65536": it must be a whole number from 0 to 65535\.$/m,
  ],
  [
    ['start', '--topology', 'ring'],
    /--topology is "ring": it must be relay, handoff or single\.$/m,
  ],
  [
    ['start', '--fsync-interval', '10'],
    /--fsync-interval is "10": it must be a time .* with its unit/,
  ],
  [
    ['start', '--config', '/nonexistent.json'],
    /file \/nonexistent\.json cannot be read \(ENOENT\)\.$/m,
  ],
  [['start', '--run-directory', `./run/${'x'.repeat(120)}`], /at most 107 bytes/],
  [['balancer'], /nowhere to forward to: give --upstreams, UPSTREAMS or/],
  [
    ['balancer', '--upstreams', 'localhost'],
    /--upstreams is "localhost": it must be one or more addresses/,
  ],
  [
    ['api', '--port', '0', '--db', 'localhost:1', '--mode', 'handoff'],
    /handoff cannot reach localhost:1: name the path of a unix socket on this machine, or choose the mode relay\.$/m,
  ],
  [
    ['api', '--db', '/a', '--unix-socket', `/${'x'.repeat(107)}`],
    /at most 107 bytes and this one has 108/,
  ],
  [['database', '--accounts', '[]'], /--accounts is "\[\]": it must be a JSON array/],
  [
    ['database', '--accounts', '/nonexistent'],
    /accounts file \/nonexistent cannot be read \(ENOENT\)\.$/m,
  ],
  [['config', 'database', '--port', 'x'], /--port is "x"/],
] as const) {
  test.serial(`usage: espora ${args.join(' ').slice(0, 60)}`, async (t) => {
    const cwd = temporaryDirectory(t);
    const ended = await runEspora(t, args, { cwd });
    t.regex(ended.stderr, sentence);
    isOneSentence(t, ended);
    t.is(ended.exitCode, 2);
    t.is(ended.stdout, '');
    t.deepEqual(readdirSync(cwd), [], 'nothing is made before the options are right');
  });
}

test.serial(
  'a variable that means nothing is told by every command, once, and stops none',
  async (t) => {
    const environment = {
      ESPORA_DTA: '/x',
      ESPORA_PORT: 'tcp://10.0.0.1:9999',
      ESPORA_METRICS_PORT: 'tcp://10.0.0.2:9998',
      ESPORA_SERVICE_HOST: '10.0.0.1',
      ESPORA_IMAGE: 'espora:latest',
      ESPORA_LOG_LEVEL: '',
      PORT: '0',
    };
    const told = /ESPORA_DTA means nothing and is ignored; did you mean ESPORA_DATA\?/g;
    const cwd = temporaryDirectory(t);
    const check = (command: string, { stderr }: { readonly stderr: string }): void => {
      t.is(stderr.match(told)?.length, 1, `${command}: ${stderr}`);
      t.is(stderr.match(/ignored, because they say where/g)?.length, 1, `${command}: ${stderr}`);
    };
    for (const args of [['start'], ['start', '--topology', 'single'], ['database']]) {
      const program = startEspora(t, [...args, '--json'], { environment, cwd });
      await program.event('ready');
      const ended = await program.stop();
      t.is(ended.exitCode, 0);
      check(args.join(' '), ended);
    }
    for (const args of [
      ['config', 'api'],
      ['inspect'],
      ['verify'],
      ['export'],
      ['backup', '--to', 'b'],
      ['repair', '--to', 'r'],
    ]) {
      const ended = await runEspora(t, args, { environment, cwd });
      t.is(ended.exitCode, 0, ended.stderr);
      check(args.join(' '), ended);
    }
  },
);

test('what a variable is called forges no line and controls no terminal', async (t) => {
  const environment = { 'ESPORA_X\nespora: all is well\u001b[2J\u202e': '1' };
  for (const args of [['config', 'api'], ['verify']]) {
    const { stderr } = await runEspora(t, args, { environment, cwd: temporaryDirectory(t) });
    t.true(
      stderr.includes(
        String.raw`ESPORA_X\u000aespora: all is well\u001b[2J\u202e means nothing and is ignored`,
      ),
      stderr,
    );
    t.notRegex(stderr, /^espora: all is well|[^\P{Cc}\n]|\p{Bidi_Control}/mu, args.join(' '));
  }
});

test.serial('a value from the environment or a file is refused with its origin', async (t) => {
  const file = join(temporaryDirectory(t), 'espora.json');
  writeFileSync(file, '{"drainTimeout": "soon"}');
  await refused(t, ['start'], 2, /ESPORA_HEADER_TIMEOUT is "-1s"/, {
    environment: { ESPORA_HEADER_TIMEOUT: '-1s' },
  });
  await refused(t, ['start', '--config', file], 2, /drainTimeout in .*espora\.json is "soon"/);
});

test.serial('without a command: the help, and exit code 2', async (t) => {
  const ended = await runEspora(t, []);
  t.is(ended.exitCode, 2);
  t.regex(ended.stderr, /^Usage: espora /);
  t.regex(ended.stderr, /espora: a command is missing/);
});

test.serial('help and version are no failure and go to stdout', async (t) => {
  for (const args of [['--help'], ['help', 'start'], ['database', '--help'], ['--version']]) {
    const ended = await runEspora(t, args);
    t.is(ended.exitCode, 0);
    t.is(ended.stderr, '');
    t.not(ended.stdout, '');
  }
});

/** A port on which somebody listens until the test ends. */
async function takenPort(t: ExecutionContext): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as { port: number }).port;
}

test.serial('a port that is taken: exit code 1, by each service and by the whole', async (t) => {
  const port = String(await takenPort(t));
  const address = ['--host', '127.0.0.1', '--port', port];
  const sentence = new RegExp(`127\\.0\\.0\\.1:${port}: .*EADDRINUSE.*--port\\.$`, 'm');
  const data = join(temporaryDirectory(t), 'data');
  await refused(t, ['database', ...address, '--data', data], 1, sentence);
  await refused(t, ['api', ...address, '--db', '/nonexistent'], 1, sentence);
  await refused(t, ['balancer', ...address, '--upstreams', '/nonexistent'], 1, sentence);
  const whole = await runEspora(t, ['start', ...address, '--data', data, '--json']);
  t.regex(whole.stderr, /^espora: balancer did not start: cannot listen/);
  isOneSentence(t, whole);
  t.is(whole.exitCode, 1);
});

test.serial(
  'a socket that is taken: what to do is about that socket, not about a port',
  async (t) => {
    const directory = temporaryDirectory(t);
    const taken = join(directory, 'taken.sock');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(taken, resolve));
    t.teardown(() => server.close());
    const upstreams = ['--upstreams', '/nonexistent'];
    for (const [args, sentence] of [
      [
        ['balancer', ...upstreams, '--unix-socket', taken],
        /taken\.sock.*--unix-socket names it\.$/m,
      ],
      [['api', '--db', '/nonexistent', '--unix-socket', taken], /--unix-socket names it\.$/m],
      [
        ['balancer', ...upstreams, '--port', '0', '--admin-socket', taken],
        /the admin socket .*another process listens there; .* with --admin-socket\.$/m,
      ],
    ] as const) {
      const { stderr } = await refused(t, args, 1, sentence);
      t.notRegex(stderr, /--port/);
    }
  },
);

test.serial('a metrics port that is taken: exit code 1', async (t) => {
  const port = String(await takenPort(t));
  const args = ['start', '--port', '0', '--metrics-port', port];
  await refused(t, args, 1, /the metrics cannot be served: .*EADDRINUSE.* with --metrics-port\.$/m);
});

test.serial(
  'a data directory that is a file, or below one: one sentence that names it',
  async (t) => {
    const file = join(temporaryDirectory(t), 'file');
    writeFileSync(file, '');
    for (const data of [file, join(file, 'data')]) {
      const ended = await runEspora(t, ['database', '--port', '0', '--data', data]);
      t.true(ended.stderr.includes(data));
      isOneSentence(t, ended);
      t.true(ended.exitCode === 1 || ended.exitCode === 2);
    }
  },
);

test.serial(
  'a store that another process has open: exit code 1, and its pid is named',
  async (t) => {
    const args = ['database', '--port', '0', '--data', join(temporaryDirectory(t), 'data')];
    const holder = startEspora(t, [...args, '--json']);
    await holder.event('ready');
    await refused(t, args, 1, new RegExp(`open in process ${String(holder.pid)}\\b`));
    t.is((await holder.stop()).exitCode, 0);
  },
);

test.serial('a store that is damaged: exit code 3, alone and as part of the whole', async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const args = ['--port', '0', '--data', data];
  const maker = startEspora(t, ['database', ...args, '--json']);
  await maker.event('ready');
  await maker.stop();
  const store = join(data, 'STORE');
  const bytes = readFileSync(store);
  bytes[20]! ^= 1;
  writeFileSync(store, bytes);
  await refused(t, ['database', ...args], 3, /STORE/);
  const whole = await runEspora(t, ['start', ...args, '--json']);
  t.is(whole.exitCode, 3);
  t.regex(whole.stderr, /^espora: database did not start: .*STORE/);
  isOneSentence(t, whole);
});

test.serial(
  'a socket where there is no directory for it: exit code 1, and it is named',
  async (t) => {
    const socket = join(temporaryDirectory(t), 'missing', 'api.sock');
    const args = ['api', '--db', '/nonexistent', '--unix-socket', socket];
    await refused(t, args, 1, /missing\/api\.sock: .*ENOENT/);
  },
);

test.serial('a run directory that others can write to is refused', async (t) => {
  await refused(t, ['start', '--run-directory', '/tmp'], 2, /\/tmp is not ours alone/);
});

test.serial('output that cannot be written is a failure that is said', async (t) => {
  const full = openSync('/dev/full', 'w');
  t.teardown(() => {
    closeSync(full);
  });
  const ended = await runEspora(t, ['config'], { stdout: full });
  t.regex(ended.stderr, /^espora: the output could not be written: .*ENOSPC.*\.$/m);
  t.is(ended.exitCode, 1);
});
