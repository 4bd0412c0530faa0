// Tries the contest's submission as it would be judged: images built by the real Docker engine, every
// compose file in containers under its limits (test/docker/). Uses the engine that answers, or starts
// one of its own (as root) and leaves nothing of it behind.
// --only NAME: one compose file, for example nginx.
// --quick: one short load per compose file instead of the quick contest, for continuous integration.
// --data DIR: where an engine of our own keeps its state; by default the system's temporary directory.

import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { useEngine } from './lib/docker-engine.mjs';
import { buildImage, nginxImage } from './lib/images.mjs';
import { locked } from './lib/lock.mjs';
import { run, runScript } from './lib/run.mjs';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    data: { type: 'string', default: tmpdir() },
  },
});

const say = (line) => process.stderr.write(`${line}\n`);

await runScript(() =>
  locked('docker', async () => {
    const engine = await useEngine(resolve(values.data));
    try {
      const image = `espora-test:${process.pid}`;
      await buildImage(engine, image, say);
      const env = {
        ...engine.env,
        ESPORA_IMAGE: image,
        NGINX_IMAGE: await nginxImage(engine, say),
        DOCKER_TEST: values.quick ? 'short' : 'quick',
      };
      const ava = ['node_modules/ava/entrypoints/cli.mjs', '--serial', '--timeout', '10m'];
      if (values.only !== undefined) ava.push('--match', `docker/${values.only}.yml: *`);
      const { code } = await run(process.execPath, [...ava, 'test/docker/*.test.ts'], {
        env,
        show: true,
      });
      await run(engine.command, ['image', 'rm', '--force', image], { env: engine.env });
      return code;
    } finally {
      await engine.stop();
    }
  }),
);
