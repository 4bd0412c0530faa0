// The native programs of test/native/campaigns/, built on first use.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The environment without a preloaded sanitizer: for tools that are not what is tested. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  const { LD_PRELOAD: _, ...rest } = process.env;
  return rest;
}

let folder: Promise<string> | undefined;

/** The path of one of them. */
export async function campaignTool(name: 'call_hook.so' | 'power_disk'): Promise<string> {
  folder ??= promisify(execFile)(process.execPath, ['scripts/campaign-tools.mjs'], {
    env: toolEnvironment(),
  }).then(({ stdout }) => stdout.trim());
  return join(await folder, `espora_${name}`);
}

/** Where a database is ended, or what it is lied to about; see call_hook.cc. */
export interface CallHook {
  readonly kill?: {
    readonly call: string;
    readonly when: number;
    readonly after: boolean;
    /** Made at the kill; whoever finds it lives on. */
    readonly once?: string;
  };
  readonly skip?: { readonly call: string; readonly every: number };
}

/** The environment of a service of which the database is to be hooked. */
export async function hookEnvironment({ kill, skip }: CallHook): Promise<Record<string, string>> {
  return {
    LD_PRELOAD: [await campaignTool('call_hook.so'), process.env['LD_PRELOAD'] ?? '']
      .filter((path) => path !== '')
      .join(':'),
    CALL_HOOK_PROCESS: 'database',
    ...(kill && { CALL_HOOK_KILL: kill.call, CALL_HOOK_WHEN: String(kill.when) }),
    ...(kill?.after === true && { CALL_HOOK_AFTER: '1' }),
    ...(kill?.once !== undefined && { CALL_HOOK_ONCE: kill.once }),
    ...(skip && { CALL_HOOK_SKIP: skip.call, CALL_HOOK_EVERY: String(skip.every) }),
  };
}
