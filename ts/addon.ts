// Finds and loads the native addon. If none can be loaded, the error names every place that was tried and the
// command that builds the addon.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { EsporaError } from './errors.js';
import type { Native } from './native.js';
import { version } from './version.js';

/** The oldest C library that a prebuilt binary runs on; a test compares it with the binary. */
export const glibcFloor = '2.34';

export interface AddonCandidate {
  readonly path: string;
  /** What messages call the place. */
  readonly source: string;
}

export interface LoadOptions {
  /** The package's own folder, if there is one. */
  readonly root?: string | undefined;
  /** The folder of the running file: in a bundle, that of the program. */
  readonly folder?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The version that the binary must have. */
  readonly version: string;
  /** The prebuilt binary for this machine, such as `linux-x64-glibc`; detected if absent. */
  readonly target?: string;
}

/** The folder of the running file: the package's dist, or that of the program it was bundled into. */
function ownFolder(): string | undefined {
  // A CommonJS bundle has a file name instead of a URL.
  const url = import.meta.url as string | undefined;
  if (url?.startsWith('file:') === true) return dirname(fileURLToPath(url));
  return typeof __filename === 'string' ? dirname(__filename) : undefined;
}

function isPackage(folder: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
      name?: unknown;
    };
    return manifest.name === 'espora';
  } catch {
    return false;
  }
}

/**
 * The package's own folder: the one around the running file, or, if that was bundled into a program,
 * the one that the program has installed. The working directory is not searched: others may control it.
 */
export function packageRoot(folder: string | undefined): string | undefined {
  if (folder !== undefined && isPackage(dirname(folder))) return dirname(folder);
  for (const from of [folder, process.argv[1] && dirname(process.argv[1])]) {
    if (from === undefined || from === '') continue;
    try {
      return dirname(createRequire(join(from, 'any.js')).resolve('espora/package.json'));
    } catch {
      // Not installed there.
    }
  }
  return undefined;
}

/** The C library of this Node.js: a binary for one does not load with the other. */
function libc(): 'glibc' | 'musl' {
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  const before = report.excludeNetwork;
  report.excludeNetwork = true; // otherwise a slow name server delays the start
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  report.excludeNetwork = before;
  return header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
}

/** The places in the order in which they are tried; ESPORA_ADDON, if it is set, is the only one. */
export function* addonCandidates({
  root,
  folder,
  env,
  target = `${process.platform}-${process.arch}-${libc()}`,
}: Omit<LoadOptions, 'version'>): Generator<AddonCandidate, void, undefined> {
  const override = env['ESPORA_ADDON'];
  if (override !== undefined && override !== '') {
    yield { path: resolve(override), source: 'ESPORA_ADDON' };
    return;
  }
  // For a bundle, the addon that was put next to it precedes any installed version of the package.
  if (folder !== undefined && root !== dirname(folder)) {
    yield { path: join(folder, 'espora.node'), source: 'beside the program' };
  }
  if (root !== undefined) {
    yield { path: join(root, 'build/Release/espora.node'), source: 'built here' };
    yield { path: join(root, 'prebuilds', target, 'espora.node'), source: 'built ahead' };
  }
}

function cannotLoad(lines: readonly string[], cause?: unknown): EsporaError {
  const message = [
    "The native addon of espora can't be loaded. Tried:",
    ...lines.map((line) => `  ${line}`),
    'Build it with `npm run build:native` in the folder of the package, or, where that was installed from npm, in a',
    'checkout of the same version, and name what it built (build/Release/espora.node) in ESPORA_ADDON. A program that',
    'espora was bundled into needs the addon next to it, as espora.node, or the package installed. A binary built ahead',
    `needs glibc ${glibcFloor} or later; one that was built here, the glibc it was built with`,
  ].join('\n');
  return new EsporaError('ERR_ESPORA_ADDON', message, cause === undefined ? {} : { cause });
}

/**
 * Loads the first addon that exists. If it does not load or has another version, that is an error, and
 * the next place is not tried: it would silently run another binary than the one that was built.
 */
export function loadAddonFrom(options: LoadOptions): Native {
  const tried: string[] = [];
  for (const { path, source } of addonCandidates(options)) {
    if (!existsSync(path)) {
      tried.push(`${path} (${source}): no such file`);
      continue;
    }
    let addon: Native;
    try {
      addon = createRequire(path)(path) as Native;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw cannotLoad([...tried, `${path} (${source}): ${reason}`], error);
    }
    const version = typeof addon.version === 'function' ? addon.version() : 'unknown';
    if (version !== options.version) {
      throw cannotLoad([
        ...tried,
        `${path} (${source}): built from version ${version}, this is ${options.version}`,
      ]);
    }
    return addon;
  }
  throw cannotLoad(tried);
}

let loaded: Native | undefined;

/**
 * The addon of this process, loaded at the first call, so that whatever does not use it works without
 * it. Throws `ERR_ESPORA_ADDON`.
 */
export function loadNative(): Native {
  if (loaded === undefined) {
    const folder = ownFolder();
    loaded = loadAddonFrom({ root: packageRoot(folder), folder, env: process.env, version });
  }
  return loaded;
}
