// How a running process shows that an option of the command line took effect: those that no addon
// has. Each proof looks at a program that was started with all of them at once.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { askAdmin } from '#espora/admin/client.js';
import type { Command, OptionName } from '#espora/options/table.js';
import type { Program } from '../helpers/program.js';

/** Set in every such run: the warning about it is there to be logged. */
export const foreignVariable = 'ESPORA_MEANS_NOTHING';

/** A program that runs, and with what. */
export interface Running {
  readonly t: ExecutionContext;
  readonly command: Command;
  readonly program: Program;
  readonly texts: Readonly<Partial<Record<OptionName, string>>>;
  /** The processes of its services; itself where it is one. */
  readonly pids: readonly number[];
}

interface ProcessProof {
  /** A value that is not the default; `directory` is there for it alone. */
  readonly text: (context: { readonly directory: string; readonly port: number }) => string;
  /** Throws or fails the test if the option had no effect. */
  readonly check: (running: Running) => Promise<void> | void;
}

const environmentOf = (pid: number): readonly string[] =>
  readFileSync(`/proc/${String(pid)}/environ`, 'utf8').split('\0');

const metrics = (host: string, port: string): Promise<boolean> =>
  fetch(`http://${host}:${port}/metrics`).then(
    ({ ok }) => ok,
    () => false,
  );

export const processProofs: Readonly<Partial<Record<OptionName, ProcessProof>>> = {
  topology: {
    text: () => 'handoff',
    check: ({ t, pids }) => {
      const modes = pids.filter((pid) => environmentOf(pid).includes('ESPORA_MODE=handoff'));
      t.is(modes.length, 3, 'balancer and two api instances hand over');
    },
  },
  runDirectory: {
    text: ({ directory }) => join(directory, 'run'),
    check: ({ t, texts }) => {
      t.true(statSync(join(texts.runDirectory!, 'database.sock')).isSocket());
    },
  },
  name: {
    text: () => 'a name',
    check: ({ t, program }) => {
      t.is(program.events[0]!['service'], 'a name');
    },
  },
  adminSocket: {
    text: ({ directory }) => join(directory, 'admin.sock'),
    check: async ({ t, texts }) => {
      t.true(Array.isArray(await askAdmin(texts.adminSocket!, 'GET', '/upstreams')));
    },
  },
  readyFile: {
    text: ({ directory }) => join(directory, 'ready'),
    check: ({ t, texts }) => {
      t.regex(readFileSync(texts.readyFile!, 'utf8'), /^address 127\.0\.0\.1:\d+$/m);
    },
  },
  metricsPort: {
    text: ({ port }) => String(port),
    check: async ({ t, program, texts }) => {
      await program.event('metrics');
      t.true(await metrics(texts.metricsHost!, texts.metricsPort!));
    },
  },
  metricsHost: {
    text: () => '127.0.0.7',
    check: async ({ t, texts }) => {
      t.false(await metrics('127.0.0.1', texts.metricsPort!));
    },
  },
  logLevel: {
    text: () => 'error',
    check: ({ t, program }) => {
      t.false(program.stderr.includes(foreignVariable), program.stderr);
    },
  },
  logFormat: {
    text: () => 'text',
    check: ({ t, program, texts }) => {
      // Where the level lets nothing through, the other run shows it.
      if (texts.logLevel === undefined) {
        t.regex(program.stderr, new RegExp(`^[0-9:.]+ warn .*${foreignVariable}`, 'm'));
      }
    },
  },
  drainTimeout: {
    text: () => '1234ms',
    check: async ({ t, command, program, pids }) => {
      if (command === 'start') {
        for (const pid of pids) t.true(environmentOf(pid).includes('ESPORA_DRAIN_TIMEOUT=1234ms'));
        return;
      }
      program.child.kill('SIGTERM');
      t.is((await program.event('stopping'))['drainMs'], 1234);
    },
  },
  data: {
    text: ({ directory }) => join(directory, 'data'),
    check: ({ t, texts }) => {
      t.true(existsSync(join(texts.data!, 'STORE')));
    },
  },
};
