// Sockets that a service manager opened, and names with several addresses: who serves their clients, and
// what is said of where that is.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Api, Balancer, Database } from '#espora/index.js';
import { freePort } from '#espora/lab/free-port.js';
import { until } from '#espora/lab/until.js';
import { serveMetrics } from '#espora/metrics/server.js';
import { credit, statement } from '../helpers/http.js';
import type { Target } from '../helpers/http.js';
import { Program, startEspora, startOnSockets, cleanEnvironment } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const has = (command: string): boolean => {
  try {
    execFileSync('which', [command], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
const hasVersion6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);

/** A socket that listens, of this process, as a service manager opens it. */
async function socketOf(
  t: ExecutionContext,
  at: { readonly port: number; readonly host: string } | { readonly path: string },
): Promise<{ readonly fd: number; readonly server: Server; readonly port: number }> {
  const server = createServer();
  t.teardown(() => server.close());
  await new Promise<void>((resolve) => server.listen(at, resolve));
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  const address = server.address();
  return { fd, server, port: typeof address === 'object' ? address!.port : 0 };
}

/** From here on only those who got the socket take what comes. Node would remove its path. */
async function letGo({ server }: { readonly server: Server }): Promise<void> {
  const address = server.address();
  const path = typeof address === 'string' ? address : undefined;
  if (path !== undefined) renameSync(path, `${path}.kept`);
  await new Promise((resolve) => server.close(resolve));
  if (path !== undefined) renameSync(`${path}.kept`, path);
}

/** Which processes have the TCP socket that listens on `port`. */
function holders(port: number, pids: Iterable<number>): readonly number[] {
  const row = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(
      (parts) =>
        parts[1]?.endsWith(port.toString(16).toUpperCase().padStart(4, '0')) && parts[3] === '0A',
    );
  const name = `socket:[${row![9]!}]`;
  return [...pids].filter((pid) =>
    readdirSync(`/proc/${String(pid)}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${String(pid)}/fd/${fd}`) === name;
      } catch {
        return false;
      }
    }),
  );
}

const pidsOf = (program: Program): ReadonlyMap<string, number> =>
  new Map(
    program.events
      .filter(({ event }) => event === 'service-ready')
      .map((event) => [event['service'] as string, event['pid'] as number]),
  );

for (const [topology, entry] of [
  ['relay', 'balancer'],
  ['handoff', 'balancer'],
  ['single', 'database'],
] as const) {
  test.serial(`${topology}: espora start gives the sockets to its ${entry}`, async (t) => {
    const directory = temporaryDirectory(t);
    const path = join(directory, 'front.sock');
    const tcp = await socketOf(t, { port: 0, host: '127.0.0.1' });
    const unix = await socketOf(t, { path });
    const args = ['start', '--json', '--topology', topology, '--data', join(directory, 'data')];
    const program = startOnSockets(t, args, [tcp.fd, unix.fd]);
    await program.event('ready');
    const pids = pidsOf(program);
    const { started } = await program.event('service-ready', ({ service }) => service === entry);
    t.deepEqual(started, {
      ...(started as object),
      port: tcp.port,
      addresses: [`127.0.0.1:${String(tcp.port)}`, path],
    });
    t.deepEqual(holders(tcp.port, [...pids.values()]), [pids.get(entry)!], 'nobody else has it');
    await letGo(tcp);
    await letGo(unix);
    const targets: readonly Target[] = [{ port: tcp.port }, { unixSocket: path }];
    for (const target of targets) t.is((await credit(target, 1, 1)).status, 200);

    // Clients find its next life in the same place.
    process.kill(pids.get(entry)!, 'SIGKILL');
    await program.event(
      'service-ready',
      ({ restarts, service }) => restarts === 1 && service === entry,
    );
    for (const target of targets) t.is((await statement(target, 1)).status, 200);
    const ended = await program.stop();
    t.is(ended.exitCode, 0, ended.stderr);
  });
}

test.serial('the lines name the addresses that sockets really have', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'theirs.sock');
  const everywhere = await socketOf(t, { port: 0, host: '0.0.0.0' });
  const unix = await socketOf(t, { path });
  // What --host says is not where they listen.
  const host = ['--host', '127.0.0.9'];
  const alone = ['balancer', '--upstreams', '/nobody', ...host];
  const balancer = startOnSockets(t, alone, [everywhere.fd, unix.fd]);
  await until('it is ready', () => balancer.stdout.includes('ready on'));
  t.true(balancer.stdout.includes(`ready on 0.0.0.0:${String(everywhere.port)} and ${path};`));
  t.is((await balancer.stop()).exitCode, 0);

  const args = ['start', '--topology', 'single', '--data', join(directory, 'data'), ...host];
  const whole = startOnSockets(t, args, [everywhere.fd, unix.fd]);
  await until('it is ready', () => whole.stdout.includes('Ctrl-C'));
  t.true(
    whole.stdout.includes(`: http://localhost:${String(everywhere.port)} and ${path} (Ctrl-C`),
  );
  await whole.stop();
  // A port of its own besides.
  const port = await freePort();
  const more = startOnSockets(t, [...args, '--port', String(port)], [unix.fd]);
  await until('it is ready', () => more.stdout.includes('Ctrl-C'));
  t.true(
    more.stdout.includes(`: http://127.0.0.9:${String(port)} and ${path} (Ctrl-C`),
    more.stdout,
  );
  await letGo(unix);
  t.is((await statement({ unixSocket: path }, 1)).status, 200);
  await more.stop();
});

test.serial('what cannot be taken over is refused, by its number', async (t) => {
  const directory = temporaryDirectory(t);
  const args = ['start', '--topology', 'single', '--data', join(directory, 'data')];
  const { fd } = await socketOf(t, { port: 0, host: '127.0.0.1' });
  for (const [descriptors, count, expected] of [
    [[fd], '2', /cannot take over descriptor 4: it is no socket; LISTEN_FDS says how many/],
    [[1], '1', /cannot take over descriptor 3: it is no (stream )?socket/],
    [[fd], '65', /LISTEN_FDS is "65": it must be a whole number from 1 to 64/],
  ] as const) {
    const program = startOnSockets(t, args, descriptors, { environment: { LISTEN_FDS: count } });
    const ended = await program.ended;
    t.is(ended.exitCode, 2, ended.stderr);
    t.regex(ended.stderr, expected);
  }
});

test.serial('sockets that are meant for another process are left alone', async (t) => {
  const directory = temporaryDirectory(t);
  const { fd } = await socketOf(t, { port: 0, host: '127.0.0.1' });
  const args = ['start', '--json', '--topology', 'single', '--data', join(directory, 'data')];
  const environment = { LISTEN_FDS: '1', LISTEN_PID: '1', PORT: '0', ESPORA_HOST: '127.0.0.1' };
  const program = startEspora(t, args, { environment, descriptors: [fd] });
  await program.event('ready');
  const started = program.events.find(({ event }) => event === 'service-ready')!['started'];
  t.is((started as { addresses: string[] }).addresses.length, 1);
  await program.stop();
});

const activate = 'systemd-socket-activate';
if (!has(activate)) process.stderr.write(`cli/inherited: skipped: there is no ${activate} here\n`);
(has(activate) ? test.serial : test.serial.skip)(
  'a real service manager: the first client starts it, and is served',
  async (t) => {
    const directory = temporaryDirectory(t);
    mkdirSync(join(directory, 'cwd'));
    const port = await freePort();
    const passed = Object.keys(cleanEnvironment()).flatMap((name) => ['-E', name]);
    const program = new Program(
      t,
      activate,
      [
        ...passed,
        ...['-l', `127.0.0.1:${String(port)}`, '-l', join(directory, 'b.sock')],
        ...[process.execPath, join(process.cwd(), 'dist/cli/main.js'), 'start', '--json'],
        ...['--topology', 'single', '--data', join(directory, 'data')],
      ],
      { cwd: join(directory, 'cwd') },
    );
    const client = await until('it listens', () => statement({ port }, 1).catch(() => undefined));
    t.is(client.status, 200);
    const { started } = await program.event('service-ready');
    t.deepEqual((started as { addresses: string[] }).addresses, [
      `127.0.0.1:${String(port)}`,
      join(directory, 'b.sock'),
    ]);
    t.is((await program.stop()).exitCode, 0);
  },
);

// --- names with several addresses

const loopbacks = hasVersion6 ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
const written = (port: number): readonly string[] =>
  loopbacks.map((host) => `${host.includes(':') ? `[${host}]` : host}:${String(port)}`);

const statusAt = (host: string, port: number, path: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    request({ host, port, path, agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode));
    })
      .once('error', reject)
      .end();
  });

test('localhost is every loopback address, on one port: database, api, balancer', async (t) => {
  const directory = temporaryDirectory(t);
  const at = { host: 'localhost', port: 0 };
  const unixSocket = join(directory, 'db.sock');
  const database = new Database({ data: join(directory, 'data'), ...at, unixSocket });
  const services = [
    database,
    new Api({ db: unixSocket, ...at }),
    new Balancer({ upstreams: [unixSocket], ...at }),
  ];
  for (const service of services) {
    const { port, addresses } = await service.start();
    t.deepEqual(addresses.slice(0, loopbacks.length), written(port!));
    for (const host of loopbacks) t.is(await statusAt(host, port!, '/clientes/1/extrato'), 200);
  }
  for (const service of services.toReversed()) await service.stop();
});

test('localhost is every loopback address, on one port: metrics', async (t) => {
  const first = await serveMetrics({ host: 'localhost', port: 0 }, () => Promise.resolve([]));
  for (const host of loopbacks) t.is(await statusAt(host, first.port, '/stats'), 200);
  first.close();
  const port = await freePort();
  const second = await serveMetrics({ host: 'LOCALHOST', port }, () => Promise.resolve([]));
  t.is(second.port, port);
  second.close();
  // Half of a name would be somebody else's.
  for (const host of loopbacks) {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen({ port, host, ipv6Only: true }, resolve));
    await t.throwsAsync(
      serveMetrics({ host: 'localhost', port }, () => Promise.resolve([])),
      { code: 'ERR_ESPORA_ADDRESS_IN_USE' },
    );
    const database = new Database({
      data: join(temporaryDirectory(t), 'data'),
      host: 'localhost',
      port,
    });
    await t.throwsAsync(database.start(), { code: 'ERR_ESPORA_ADDRESS_IN_USE' });
    await new Promise((resolve) => other.close(resolve));
  }
});
