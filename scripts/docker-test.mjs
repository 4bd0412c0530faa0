// Tries the contest's submission as it would be judged: images built by the real Docker engine, every
// compose file in containers under its limits (test/docker/). Uses the engine that answers, or starts
// one of its own (as root) and leaves nothing of it behind.
// --only NAME: one compose file, for example nginx.
// --quick: one short load per compose file instead of the quick contest, for continuous integration.
// --data DIR: where an engine of our own keeps its state; by default the system's temporary directory.

import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { readFlags } from './lib/flags.mjs';
import { run, runScript } from './lib/run.mjs';
import { withDocker } from './lib/with-docker.mjs';

const values = readFlags(import.meta.url, {
  quick: { type: 'boolean', default: false },
  only: { type: 'string' },
  data: { type: 'string', default: tmpdir() },
});

await runScript(() =>
  withDocker(resolve(values.data), async (env) => {
    const ava = ['node_modules/ava/entrypoints/cli.mjs', '--serial', '--timeout', '10m'];
    if (values.only !== undefined) ava.push('--match', `docker/${values.only}.yml: *`);
    const { code } = await run(process.execPath, [...ava, 'test/docker/*.test.ts'], {
      env: {
        ...env,
        DOCKER_TEST: values.quick ? 'short' : 'quick',
        // A start takes until the engine's first health check.
        HEALTHCHECK_INTERVAL: '2s',
      },
      show: true,
    });
    return code;
  }),
);
