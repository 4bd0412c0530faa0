// Finds the headers of the running Node.js, so that the native build works without a download and regardless
// of the user's npm configuration.

import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** The version of the headers under `prefix`; undefined if they are incomplete. */
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

/** node-gyp's cache of downloads for one version. */
function cachePrefix(version, env) {
  const devdir = env.npm_package_config_node_gyp_devdir ?? env.npm_config_devdir;
  return join(devdir ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'node-gyp'), version);
}

/**
 * The places where headers may be, best first: next to the running executable, node-gyp's cache, and the
 * place in the user's configuration (last, because it is often wrong).
 */
export function headerCandidates({ execPath, version, env }) {
  const candidates = [dirname(dirname(realpathSync(execPath))), cachePrefix(version, env)];
  const configured = env.npm_config_nodedir ?? env.NPM_CONFIG_NODEDIR;
  if (configured) candidates.push(configured.replace(/^~(?=\/|$)/, homedir()));
  return candidates;
}

/** The first candidate with headers of exactly this version; undefined if there is none. */
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
 * The environment for node-gyp. `npm_package_config_node_gyp_nodedir` precedes .npmrc, the environment and
 * flags. If no headers were found, a configured `nodedir` is removed (it was tried and does not fit), so that
 * node-gyp downloads them.
 */
export function nodeGypEnvironment(headers, env = process.env) {
  const { npm_config_nodedir, NPM_CONFIG_NODEDIR, ...rest } = env;
  return headers === undefined ? rest : { ...rest, npm_package_config_node_gyp_nodedir: headers };
}
