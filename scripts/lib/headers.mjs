// Finds the headers of the running Node.js, so that the native build works where nothing can be
// downloaded, and whatever a user's npm configuration says about them.

import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** The version that the headers under `prefix` belong to; undefined where they are not complete. */
export function headerVersion(prefix) {
  const folder = join(prefix, 'include/node');
  if (!existsSync(join(folder, 'common.gypi'))) return undefined;
  let text;
  try {
    text = readFileSync(join(folder, 'node_version.h'), 'utf8');
  } catch {
    return undefined;
  }
  const parts = ['MAJOR', 'MINOR', 'PATCH'].map(
    (part) => new RegExp(`#define NODE_${part}_VERSION (\\d+)`).exec(text)?.[1],
  );
  return parts.includes(undefined) ? undefined : parts.join('.');
}

/** Where node-gyp keeps what it downloaded, for one version. */
function cachePrefix(version, env) {
  const devdir = env.npm_package_config_node_gyp_devdir ?? env.npm_config_devdir;
  return join(devdir ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'node-gyp'), version);
}

/**
 * The places where headers may be, best first: beside the running executable, node-gyp's cache, and
 * where the user's configuration points (which is often wrong, and so comes last).
 */
export function headerCandidates({ execPath, version, env }) {
  const candidates = [dirname(dirname(realpathSync(execPath))), cachePrefix(version, env)];
  const configured = env.npm_config_nodedir ?? env.NPM_CONFIG_NODEDIR;
  if (configured) candidates.push(configured.replace(/^~(?=\/|$)/, homedir()));
  return candidates;
}

/** The first candidate whose headers are of exactly this version; undefined where none is. */
export function findHeaders({
  execPath = process.execPath,
  version = process.versions.node,
  env = process.env,
} = {}) {
  return headerCandidates({ execPath, version, env }).find(
    (prefix) => headerVersion(prefix) === version.replace(/-.*/, ''),
  );
}

/**
 * The environment for node-gyp. `npm_package_config_node_gyp_nodedir` beats what .npmrc, the
 * environment or a flag say; without headers a configured `nodedir` is dropped (it was looked at and
 * does not fit), which lets node-gyp download them.
 */
export function nodeGypEnvironment(headers, env = process.env) {
  const { npm_config_nodedir, NPM_CONFIG_NODEDIR, ...rest } = env;
  return headers === undefined ? rest : { ...rest, npm_package_config_node_gyp_nodedir: headers };
}
