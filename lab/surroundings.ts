// Where a figure was measured: machine, kernel, versions, commit.
import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { arch, cpus, release, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import { version } from '#espora/version.js';

/** Machine and programs of a run. */
export interface Surroundings {
  /** Model of the CPU. */
  readonly cpu: string;
  /** Number of CPUs. */
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Whether it is a virtual machine. */
  readonly hypervisor: boolean;
  readonly kernel: string;
  readonly architecture: string;
  readonly node: string;
  /** Version of this package. */
  readonly version: string;
  /** Commit of the checkout; undefined if the package is not a checkout, or without git. */
  readonly commit: string | undefined;
  /** Whether tracked files differ from that commit. */
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

/** Whether the package is a checkout itself, and not installed in another project's checkout. */
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

/** The current surroundings. */
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
