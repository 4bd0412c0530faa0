// The native programs of test/native/campaigns/, built on first use.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { outputOf } from '#espora/lab/program.js';

/** The environment without a preloaded sanitizer: for tools that are not what is tested. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  const { LD_PRELOAD: _, ...rest } = process.env;
  return rest;
}

/** Why they can't be built here; undefined where they can. */
export function toolsMissing(): string | undefined {
  const { status } = spawnSync('cmake', ['--version'], { env: toolEnvironment() });
  return status === 0
    ? undefined
    : 'cmake is not installed (Debian packages cmake ninja-build g++)';
}

let folder: Promise<string> | undefined;

/** The path of one of them. */
export async function campaignTool(name: 'call_hook.so' | 'power_disk'): Promise<string> {
  folder ??= outputOf(process.execPath, ['scripts/campaign-tools.mjs'], {
    env: toolEnvironment(),
  });
  return join((await folder).trim(), `espora_${name}`);
}

/** Where a database is ended, and which of its calls fail; see call_hook.cc. */
export interface CallHook {
  readonly kill?: {
    readonly call: string;
    readonly when: number;
    readonly after: boolean;
    /** Made at the kill; whoever finds it lives on. */
    readonly once?: string;
  };
  readonly fail?: {
    readonly call: string;
    /** An errno; 0: the call does nothing and returns 0; -1: it does half; -2: nothing, and says all. */
    readonly error: number;
    /** Which call in the process is the first to fail. */
    readonly from: number;
    /** How many fail; absent: all that follow. */
    readonly times?: number;
    /** Only each so many of them. */
    readonly every?: number;
  };
}

/** A flush that does nothing and says that it did. */
export const noFlush = { call: 'fdatasync', error: 0, from: 1 } as const;

/** Writes of which some never happen, though they say that they did. */
export const lostWrites = { call: 'pwrite', error: -2, from: 20, every: 7 } as const;

/** The environment of a service of which the database is to be hooked. */
export async function hookEnvironment({ kill, fail }: CallHook): Promise<Record<string, string>> {
  if (kill === undefined && fail === undefined) return {};
  return {
    // A sanitizer's library insists on being the first.
    LD_PRELOAD: [process.env['LD_PRELOAD'] ?? '', await campaignTool('call_hook.so')]
      .filter((path) => path !== '')
      .join(':'),
    CALL_HOOK_PROCESS: 'database',
    ...(kill && { CALL_HOOK_KILL: kill.call, CALL_HOOK_WHEN: String(kill.when) }),
    ...(kill?.after === true && { CALL_HOOK_AFTER: '1' }),
    ...(kill?.once !== undefined && { CALL_HOOK_ONCE: kill.once }),
    ...(fail && {
      CALL_HOOK_FAIL: fail.call,
      CALL_HOOK_ERRNO: String(fail.error),
      CALL_HOOK_FROM: String(fail.from),
      CALL_HOOK_TIMES: String(fail.times ?? 0),
      CALL_HOOK_EVERY: String(fail.every ?? 1),
    }),
  };
}
