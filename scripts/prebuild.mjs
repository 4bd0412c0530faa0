// Puts the built addon where the package carries it: prebuilds/<platform>-<arch>-<libc>/espora.node.
// `npm pack` runs it (prepack), so that a tarball never lacks it nor holds an old one.

import { copyFileSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from './lib/project.mjs';

const { glibcVersionRuntime } = process.report.getReport().header;
const target = `${process.platform}-${process.arch}-${glibcVersionRuntime === undefined ? 'musl' : 'glibc'}`;
const built = join(root, 'build/Release/espora.node');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const builtVersion = createRequire(import.meta.url)(built).version();
if (builtVersion !== version) {
  process.stderr.write(
    `The addon was built from ${builtVersion}, this is ${version}: npm run build:native\n`,
  );
  process.exit(1);
}
const folder = join(root, 'prebuilds', target);
mkdirSync(folder, { recursive: true });
// Renamed into place, so that two runs at once never pack an incomplete file.
const temporary = join(folder, `${process.pid}.tmp`);
copyFileSync(built, temporary);
renameSync(temporary, join(folder, 'espora.node'));
