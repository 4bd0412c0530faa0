// What a figure was measured on and with: machine, kernel, versions, commit.
import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { arch, cpus, release, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import { version } from '#espora/version.js';

/** Machine and programs of a run. */
export interface Surroundings {
  /** Model of the CPU. */
  readonly cpu: string;
  /** How many of them there are for the system. */
  readonly cpus: number;
  readonly memoryBytes: number;
  /** A virtual machine. */
  readonly hypervisor: boolean;
  readonly kernel: string;
  readonly architecture: string;
  readonly node: string;
  /** Of this package. */
  readonly version: string;
  /** Of the checkout that this package is; undefined: it is none, or there is no git. */
  readonly commit: string | undefined;
  /** Files that git tracks differ from that commit. */
  readonly modified: boolean;
}

// Where package.json is: two folders above the compiled module.
const packageFolder = fileURLToPath(new URL('../..', import.meta.url));

function git(...args: readonly string[]): string | undefined {
  try {
    return execFileSync('git', args, {
      cwd: packageFolder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined; // an unpacked tarball, or no git
  }
}

/** Whether the package is a checkout of its own, and not one of the packages in somebody else's. */
function isCheckout(): boolean {
  const top = git('rev-parse', '--show-toplevel');
  return top !== undefined && realpathSync(top) === realpathSync(packageFolder);
}

function isVirtual(): boolean {
  try {
    return /^flags\b.*\bhypervisor\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'));
  } catch {
    return false;
  }
}

/** As they are now. */
export function readSurroundings(): Surroundings {
  const checkout = isCheckout();
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cpus: cpus().length,
    memoryBytes: totalmem(),
    hypervisor: isVirtual(),
    kernel: `${type()} ${release()}`,
    architecture: arch(),
    node: process.version,
    version,
    commit: checkout ? git('rev-parse', '--short=12', 'HEAD') : undefined,
    modified: checkout && git('status', '--porcelain', '--untracked-files=no') !== '',
  };
}
