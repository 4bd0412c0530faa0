// Runs a program with a Docker engine, the images of the compose files, and one with HAProxy and the
// benchmarks' own programs: `node scripts/bench-containers.mjs DIR OWN,OWN... PROGRAM ARG...`
// DIR: where an engine of our own keeps its state. For the benchmark of containers.

import { output } from './lib/docker-engine.mjs';
import { Failure, run, runScript } from './lib/run.mjs';
import { makeHaproxy } from './lib/stand-in.mjs';
import { withDocker } from './lib/with-docker.mjs';

await runScript(() => {
  const [parent, own, program, ...args] = process.argv.slice(2);
  if (program === undefined) throw new Failure('Say where, with what, and what to run.');
  return withDocker(parent, async (env, engine) => {
    const image = `espora-chain:${process.pid}`;
    await makeHaproxy(engine, image, own.split(','));
    const { code } = await run(program, args, { env: { ...env, CHAIN_IMAGE: image }, show: true });
    await output(engine.command, ['image', 'rm', '--force', image], { env: engine.env });
    return code;
  });
});
