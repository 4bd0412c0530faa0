// The images of the compose files: built from the base that the Dockerfile names or, if no registry can be
// reached, from a stand-in made of this machine's programs.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { at, binary } from './project.mjs';
import { Failure } from './run.mjs';
import { output } from './docker-engine.mjs';
import { makeBase, makeNginx } from './stand-in.mjs';

const pullMs = 120_000;
const standIn = 'espora-stand-in';

/** The base that the Dockerfile names. */
export function namedBase() {
  return /^ARG BASE=(\S+)$/m.exec(readFileSync(at('docker/Dockerfile'), 'utf8'))[1];
}

/** Whether the engine has an image or can pull it. */
async function available(docker, image) {
  const { env } = docker;
  const here = await output(docker.command, ['image', 'inspect', image], { env });
  if (here.code === 0) return true;
  const pulled = await output(docker.command, ['pull', image], { env, timeout: pullMs });
  return pulled.code === 0;
}

function productionModules() {
  const { packages } = JSON.parse(readFileSync(at('package-lock.json'), 'utf8'));
  return Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && dev !== true && devOptional !== true)
    .map(([path]) => path)
    .filter((path) => !path.slice('node_modules/'.length).includes('node_modules/'));
}

/** The prebuilt files for the build stage, so that nothing is compiled there. */
function prepareContext(context) {
  const copy = (from, to = from) => {
    mkdirSync(join(context, to, '..'), { recursive: true });
    cpSync(at(from), join(context, to), { recursive: true });
  };
  for (const file of ['package.json', 'LICENSE', 'dist', 'docker/Dockerfile', 'docker/build.sh']) {
    copy(file);
  }
  for (const path of productionModules()) if (existsSync(at(path))) copy(path);
  copy(binary, 'prebuilds/linux-x64-glibc/espora.node');
  const args = ['-x', 'c', '-std=gnu11', '-O2', '-static', '-s'];
  const program = join(context, 'docker/healthcheck');
  execFileSync('g++', [...args, '-o', program, at('docker/healthcheck.c')], { stdio: 'inherit' });
}

async function build(docker, image, context, args) {
  // Where the client has no builder of its own, the engine's classic one does it.
  const buildx = await output(docker.command, ['buildx', 'version'], { env: docker.env });
  const env = buildx.code === 0 ? docker.env : { ...docker.env, DOCKER_BUILDKIT: '0' };
  const file = join(context, 'docker/Dockerfile');
  const { code, stdout, stderr } = await output(
    docker.command,
    ['build', '--network', 'host', '--file', file, '--tag', image, ...args, context],
    { env },
  );
  if (code !== 0) throw new Failure(`docker build of ${image} failed:\n${stdout}${stderr}`);
}

/**
 */
export async function buildImage(docker, image, say) {
  const base = namedBase();
  if (await available(docker, base)) {
    say(`building ${image} on ${base}`);
    await build(docker, image, at('.'), []);
    return base;
  }
  const context = mkdtempSync(join(tmpdir(), 'espora-context-'));
  try {
    say(`no registry has ${base}: building ${image} on this machine's own Node.js`);
    await makeBase(docker, `${standIn}-base`);
    prepareContext(context);
    await build(docker, image, context, ['--build-arg', `BASE=${standIn}-base`]);
    return `${standIn}-base`;
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
}

/** An image with nginx: the one that the compose file names, or a stand-in. */
export async function nginxImage(docker, say) {
  const named = /NGINX_IMAGE:-([^}]+)\}/.exec(readFileSync(at('docker/nginx.yml'), 'utf8'))[1];
  if (await available(docker, named)) return named;
  say(`no registry has ${named}: taking this machine's own nginx`);
  await makeNginx(docker, `${standIn}-nginx`);
  return `${standIn}-nginx`;
}
