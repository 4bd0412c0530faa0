// Writes the files of docker/ that are made from the topologies: compose files and nginx's configuration.

import { writeFileSync } from 'node:fs';
import { at } from './lib/project.mjs';

const { composeFiles } = await import('../dist/lab/compose-files.js');
const { topologies } = await import('../dist/topology/index.js');

for (const [name, text] of Object.entries(composeFiles(topologies))) {
  writeFileSync(at('docker', name), text);
  console.log(`docker/${name}`); // eslint-disable-line no-console
}
