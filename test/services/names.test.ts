// Upstreams that are names, as a program resolves them: with a name server and a resolv.conf of the
// test's own, in a mount namespace. Needs root, and says so where it is skipped.
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { until } from '#espora/lab/until.js';
import { Program } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

const possible =
  process.getuid!() === 0 &&
  spawnSync('unshare', ['-m', 'mount', '--bind', '/dev/null', '/etc/resolv.conf']).status === 0;
const inNamespace = possible ? test : test.skip;
if (!possible) {
  process.stderr.write(
    'services/names: skipped: it needs root, for a mount namespace of its own\n',
  );
}

const byte = (): number => 1 + Math.floor(Math.random() * 254);

/** A name server that knows these names; one that it does not know gets no answer, ever. */
async function serveNames(
  t: ExecutionContext,
  names: Record<string, readonly string[]>,
): Promise<{ address: string; asked: string[] }> {
  const asked: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (question, from) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = question[at]!; length !== 0; length = question[at]!) {
      labels.push(question.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const name = labels.join('.');
    asked.push(name);
    const found = names[name];
    if (found === undefined) return;
    const addresses = question.readUInt16BE(at + 1) === 1 ? found : []; // no AAAA
    const head = Buffer.from(question.subarray(0, at + 5));
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(addresses.length, 6);
    head.writeUInt32BE(0, 8);
    const records = addresses.map((address) =>
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]),
    );
    socket.send(Buffer.concat([head, ...records]), from.port, from.address);
  });
  const address = `127.${String(byte())}.${String(byte())}.${String(byte())}`;
  socket.bind(53, address);
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  return { address, asked };
}

/** A service that answers each connection with its name. */
async function serve(t: ExecutionContext, name: string, ...where: unknown[]): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(name);
  });
  server.listen(...(where as [number, string]));
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function ask(path: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    connect(path)
      .setEncoding('utf8')
      .on('data', (piece: string) => (text += piece))
      .on('error', () => undefined)
      .on('close', () => {
        resolve(text);
      });
  });
}

/** A balancer that asks this name server, listening on the unix socket that comes back. */
function startBalancer(
  t: ExecutionContext,
  server: string,
  upstreams: string,
  ...options: string[]
): { program: Program; socket: string } {
  const directory = temporaryDirectory(t);
  const resolv = join(directory, 'resolv.conf');
  const socket = join(directory, 'balancer.sock');
  // A dead name is waited for longer than any test waits.
  writeFileSync(resolv, `nameserver ${server}\noptions timeout:30 attempts:5\n`);
  // A sanitizer's library is for the balancer alone: a shell ends at ThreadSanitizer's.
  const { LD_PRELOAD: library } = process.env;
  const program = new Program(
    t,
    'env',
    [
      ...['-u', 'LD_PRELOAD', 'unshare', '-m'],
      ...['sh', '-c', 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"', 'sh', resolv],
      ...['env', ...(library === undefined ? [] : [`LD_PRELOAD=${library}`]), process.execPath],
      ...[main, 'balancer', '--unix-socket', socket, '--upstreams', upstreams, ...options],
    ],
    {},
  );
  return { program, socket };
}

inNamespace('a dead name server holds up neither start nor traffic nor stop', async (t) => {
  const names = await serveNames(t, {});
  const directory = temporaryDirectory(t);
  const path = join(directory, 'a.sock');
  await serve(t, 'a', path);
  const { program, socket } = startBalancer(t, names.address, `one.test:1,two.test:2,${path}`);
  await until('it listens', () => existsSync(socket));
  t.is(await ask(socket), 'a');
  await until('both names were asked for', () => new Set(names.asked).size >= 2);
  const ended = await program.stop();
  t.is(ended.exitCode, 0, ended.stderr);
});

inNamespace('all addresses of a name take part, and new ones as they come', async (t) => {
  const host = (last: number): string => `127.77.${String(process.pid % 250)}.${String(last)}`;
  const answers: Record<string, readonly string[]> = { 'api.test': [host(1), host(2), host(3)] };
  const names = await serveNames(t, answers);
  const port = await serve(t, '1', 0, host(1));
  await serve(t, '2', port, host(2));
  await serve(t, '3', port, host(3));
  await serve(t, '4', port, host(4));
  const { socket } = startBalancer(
    t,
    names.address,
    `api.test:${String(port)},dead.test:1`,
    ...['--resolve-interval', '100ms'],
  );
  await until('it listens', () => existsSync(socket));
  const round = async (): Promise<string> => {
    let all = '';
    for (let i = 0; i < 3; i++) all += await ask(socket);
    return [...all].sort().join('');
  };
  t.is(await round(), '123');
  answers['api.test'] = [host(3), host(4)];
  await until('the name means others', async () => (await round()).includes('4'));
  t.notRegex(await round(), /[12]/);
});
