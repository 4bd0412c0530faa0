// A Docker engine for tests: the one that already runs on this machine, or one that is started with all its
// files in a separate folder, and leaves nothing behind.

import { execFile, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { exitCodeOf, Failure, onSignals } from './run.mjs';
import { programPath } from './stand-in.mjs';

const startMs = 60_000;
const stopMs = 30_000;

/** Runs a command to its end; returns its exit code and output. */
export function output(command, args, options = {}) {
  return new Promise((resolve) => {
    execFile(command, args, { maxBuffer: 2 ** 26, ...options }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 127;
      resolve({ code, stdout, stderr });
    });
  });
}

/** `command` and `env` for an engine; undefined unless it answers. */
async function answering(env) {
  const command = programPath('docker', 'docker.io');
  const { code } = await output(command, ['version', '--format', '{{.Server.Version}}'], { env });
  return code === 0 ? { command, env } : undefined;
}

/** The mounts that an engine left below `folder`. */
function mountsBelow(folder) {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${folder}/`))
    .reverse();
}

/**
 * Starts an engine with all its state below `parent`; needs root. A signal to us stops the engine first. If
 * we are killed, it stops by itself; the folder with its state and a mount (exec/netns/default) stay.
 */
export async function startOwn(parent) {
  const dockerd = programPath('dockerd', 'docker.io');
  if (process.getuid() !== 0) {
    throw new Failure('No Docker engine answers, and starting one needs root.');
  }
  // Short, because the engine's sockets are in it.
  const folder = mkdtempSync(join(parent, 'espora-docker-'));
  const socket = join(folder, 'socket');
  const log = openSync(join(folder, 'log'), 'w');
  const child = spawn(
    programPath('setpriv', 'util-linux'),
    [
      ...['--pdeathsig', 'TERM', dockerd],
      '--iptables=false',
      '--ip-masq=false',
      '--bridge=none',
      ...['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
      ...['--pidfile', join(folder, 'pid'), '--host', `unix://${socket}`],
    ],
    // A session of its own: if a Ctrl-C reached the engine first, its containers would stay.
    { stdio: ['ignore', log, log], detached: true },
  );
  closeSync(log);
  let ended = false;
  const end = new Promise((resolve) => child.once('exit', resolve)).then(() => (ended = true));
  const env = { ...process.env, DOCKER_HOST: `unix://${socket}` };
  delete env.DOCKER_CONTEXT;
  const stopNow = async () => {
    child.kill('SIGTERM');
    await Promise.race([end, sleep(stopMs, undefined, { ref: false })]);
    if (!ended) {
      child.kill('SIGKILL');
      await end;
    }
    for (const path of mountsBelow(folder)) await output('umount', [path]);
    if (mountsBelow(folder).length > 0) throw new Failure(`Mounts are left below ${folder}.`);
    rmSync(folder, { recursive: true, force: true });
  };
  let stopping;
  const stop = () => (stopping ??= stopNow().finally(() => forget()));
  const forget = onSignals((signal) => {
    void stop()
      .catch((error) => process.stderr.write(`The Docker engine did not stop: ${error.message}\n`))
      .finally(() => process.exit(exitCodeOf(signal)));
  });
  const giveUpAt = performance.now() + startMs;
  while (!ended && performance.now() < giveUpAt) {
    const engine = existsSync(socket) ? await answering(env) : undefined;
    if (engine !== undefined) return { ...engine, own: true, stop };
    await sleep(200);
  }
  const said = readFileSync(join(folder, 'log'), 'utf8').trimEnd().split('\n').slice(-5).join('\n');
  await stop();
  throw new Failure(`The Docker engine did not start:\n${said}`);
}

/** An engine: `command` and `env` to call it, and `stop` to end it. */
export async function useEngine(parent) {
  const running = await answering(process.env);
  if (running !== undefined) return { ...running, own: false, stop: async () => {} };
  return startOwn(parent);
}
