// A balancer behind a real HAProxy that sends PROXY headers, in its checks, too. Skipped, visibly, where
// there is none.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Balancer } from '#espora/index.js';
import { RunningProgram } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const haproxy = ['haproxy', '/usr/sbin/haproxy'].find((program) => {
  try {
    execFileSync(program, ['-v'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});
const withHaproxy = haproxy === undefined ? test.skip : test;
if (haproxy === undefined) {
  process.stderr.write('services/haproxy: skipped: there is no haproxy here\n');
}

/** A service that answers what it was sent first, in upper case; remembers all that came. */
async function serve(t: ExecutionContext): Promise<{ port: number; received: string[] }> {
  const received: string[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (piece: Buffer) => {
      received.push(piece.toString('latin1'));
      socket.end(piece.toString('latin1').toUpperCase());
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { port: (server.address() as AddressInfo).port, received };
}

/** HAProxy with this line for its server; returns its admin socket and the port that it listens on. */
async function startHaproxy(
  t: ExecutionContext,
  server: string,
): Promise<{ port: number; status: () => Promise<string> }> {
  const directory = temporaryDirectory(t);
  const admin = join(directory, 'admin.sock');
  const configuration = join(directory, 'haproxy.cfg');
  // A port that was free a moment ago: HAProxy says by no means which one the kernel chose.
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  writeFileSync(
    configuration,
    `global
  stats socket ${admin} mode 600
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen front
  bind 127.0.0.1:${String(port)}
  server espora ${server}
`,
  );
  const proxy = new RunningProgram(haproxy!, ['-db', '-f', configuration]);
  t.teardown(() => proxy.stop('SIGKILL'));
  const status = (): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      connect(admin)
        .setEncoding('latin1')
        .on('data', (piece: string) => (text += piece))
        .on('error', () => undefined)
        .on('close', () => {
          resolve(text);
        })
        .end('show stat\n');
    });
  await until('HAProxy listens', async () => (await status()).includes('espora'));
  return { port, status };
}

function ask(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket: Socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket
      .setEncoding('latin1')
      .on('data', (piece: string) => (answer += piece))
      .on('error', () => undefined)
      .on('close', () => {
        resolve(answer);
      });
  });
}

/** A balancer that asks everybody for a PROXY header, before a service of its own. */
async function guarded(t: ExecutionContext) {
  const service = await serve(t);
  const balancer = new Balancer({
    listen: { host: '127.0.0.1', port: 0 },
    upstreams: [`127.0.0.1:${String(service.port)}`],
    proxyProtocol: { from: '127.0.0.0/8' },
  });
  const warnings: string[] = [];
  balancer.on('warning', (message) => warnings.push(message));
  t.teardown(() => balancer.stop({ drain: 0 }));
  const { port } = await balancer.start();
  return { balancer, port: port!, service, warnings };
}

withHaproxy(
  'checks and clients of a HAProxy are asked for their header, and no byte of it goes on',
  async (t) => {
    const { balancer, port, service, warnings } = await guarded(t);
    const front = await startHaproxy(
      t,
      `127.0.0.1:${String(port)} send-proxy-v2 check check-send-proxy inter 20ms`,
    );
    await until('thirty checks came', () => balancer.stats()!.accepted >= 30);
    t.is(await ask(front.port, 'hello'), 'HELLO');
    t.true((await front.status()).includes('L4OK'));
    t.deepEqual(service.received, ['hello']);
    t.deepEqual(warnings, []);
  },
);

withHaproxy('a HAProxy that sends no header is turned away, and why is said', async (t) => {
  const { port, service, warnings } = await guarded(t);
  const front = await startHaproxy(t, `127.0.0.1:${String(port)}`);
  t.is(await ask(front.port, 'hello'), '');
  await until('it was said', () => warnings.length > 0);
  t.regex(warnings[0]!, /from 127\.0\.0\.1:\d+ was turned away: the PROXY header .* is missing/);
  t.deepEqual(service.received, []);
});
