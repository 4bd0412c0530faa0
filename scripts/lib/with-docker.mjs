// A Docker engine with our images, for the duration of some work.

import { output, useEngine } from './docker-engine.mjs';
import { buildImage, nginxImage } from './images.mjs';
import { locked } from './lock.mjs';

const say = (line) => process.stderr.write(`${line}\n`);

/**
 * Builds the images of the compose files in the running engine, or in an engine that it starts (which needs
 * root and keeps its state below `parent` until it ends).
 * @param {string} parent
 * @param {(env: object, engine: {command: string, env: object}) => Promise<Result>} work with the
 *   environment that compose files and `docker` need
 */
export function withDocker(parent, work) {
  return locked('docker', async () => {
    const engine = await useEngine(parent);
    try {
      const image = `espora-test:${process.pid}`;
      await buildImage(engine, image, say);
      const NGINX_IMAGE = await nginxImage(engine, say);
      const result = await work({ ...engine.env, ESPORA_IMAGE: image, NGINX_IMAGE }, engine);
      await output(engine.command, ['image', 'rm', '--force', image], { env: engine.env });
      return result;
    } finally {
      await engine.stop();
    }
  });
}
