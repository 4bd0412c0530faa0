// Images for machines without access to a registry, made of this machine's programs and the libraries that
// `ldd` lists: a base with Node.js and a shell, and one with nginx. For tests only; never to be published.

import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Failure } from './run.mjs';

const tools = ['cat', 'chmod', 'chown', 'cp', 'env', 'id', 'install', 'ls', 'mkdir', 'rm', 'sleep'];

/** The path of an installed program; throws a Failure that names its package if it is missing. */
export function programPath(name, debianPackage = name) {
  for (const folder of [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']) {
    if (folder !== '' && existsSync(join(folder, name))) return join(folder, name);
  }
  throw new Failure(`${name} is not installed; on Debian: apt-get install ${debianPackage}.`);
}

/** The paths of a program's shared libraries, from the output of ldd(1). */
function librariesOf(program) {
  const output = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...output.matchAll(/(?:^|=>)\s*(\/[^\s(]+)/gm)].map(([, path]) => path);
}

/** The place of a file in a tree whose /bin, /sbin and /lib are links into /usr, as in Debian. */
const merged = (path) => (path.startsWith('/usr/') ? path : `/usr${path}`);

function copyInto(tree, path, target = path) {
  const to = join(tree, merged(target));
  mkdirSync(dirname(to), { recursive: true });
  cpSync(realpathSync(path), to);
}

function makeTree(tree, programs) {
  for (const folder of ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64', 'etc', 'var/log']) {
    mkdirSync(join(tree, folder), { recursive: true });
  }
  for (const folder of ['bin', 'sbin', 'lib', 'lib64'])
    symlinkSync(`usr/${folder}`, join(tree, folder));
  mkdirSync(join(tree, 'tmp'));
  chmodSync(join(tree, 'tmp'), 0o1777);
  mkdirSync(join(tree, 'proc'));
  mkdirSync(join(tree, 'dev'));
  mkdirSync(join(tree, 'sys'));
  const users = 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/tmp:/bin/sh\n';
  writeFileSync(join(tree, 'etc/passwd'), users);
  writeFileSync(join(tree, 'etc/group'), 'root:x:0:\nnode:x:1000:\n');
  for (const [path, target] of programs) {
    copyInto(tree, path, target);
    for (const library of librariesOf(path)) copyInto(tree, library);
  }
}

/** Packs a tree and imports it into the engine as an image called `name`. */
async function importTree(docker, tree, name, change) {
  const tar = spawn('tar', ['--owner=0', '--group=0', '-C', tree, '-cf', '-', '.'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const args = ['import', ...change.flatMap((line) => ['--change', line]), '-', name];
  const child = spawn(docker.command, args, {
    env: docker.env,
    stdio: [tar.stdout, 'ignore', 'inherit'],
  });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  if (code !== 0) throw new Failure(`docker import of ${name} failed with code ${code}.`);
}

async function makeImage(docker, name, programs, change) {
  const tree = mkdtempSync(join(tmpdir(), 'espora-stand-in-'));
  try {
    makeTree(tree, programs);
    await importTree(docker, tree, name, change);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** A base image with this machine's Node.js. */
export function makeBase(docker, name) {
  const node = realpathSync(process.execPath);
  const programs = [
    [node, '/usr/bin/node'],
    [programPath('dash'), '/usr/bin/sh'],
    ...tools.map((tool) => [programPath(tool, 'coreutils'), `/usr/bin/${tool}`]),
  ];
  return makeImage(docker, name, programs, ['ENV PATH=/usr/bin:/usr/sbin']);
}

/** An image with this machine's nginx. */
export function makeNginx(docker, name) {
  const nginx = programPath('nginx');
  const programs = [[nginx, `/usr/sbin/${basename(nginx)}`]];
  return makeImage(docker, name, programs, ['ENV PATH=/usr/bin:/usr/sbin']);
}

/** An image with this machine's HAProxy, and with more programs as /usr/bin/NAME. */
export function makeHaproxy(docker, name, more) {
  const programs = [
    [programPath('haproxy'), '/usr/sbin/haproxy'],
    ...more.map((program) => [program, `/usr/bin/${basename(program)}`]),
  ];
  return makeImage(docker, name, programs, ['ENV PATH=/usr/bin:/usr/sbin']);
}
