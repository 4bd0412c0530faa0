// The tarball as a stranger installs it: no compiler, no install script, ESM and CommonJS; and what
// a machine is told for which there is no binary.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { outputOf } from '#espora/lab/program.js';
import { loadAddonFrom } from '#espora/addon.js';
import { cleanEnvironment } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const linux = process.platform === 'linux' && process.arch === 'x64';

const program = (load: string): string => `
${load}
const main = async () => {
  const store = await openStore('data');
  await store.append(Buffer.from('kept'));
  for await (const row of store.read()) console.log(row.seq, Buffer.from(row.value).toString());
  await store.close();
};
main();
`;

(linux ? test : test.skip)(
  'the tarball installs without scripts, and works both ways',
  async (t) => {
    t.timeout(300_000);
    const directory = temporaryDirectory(t);
    const env = cleanEnvironment();
    delete env['ESPORA_ADDON'];
    const packed = await outputOf('npm', ['pack', '--json', '--pack-destination', directory], {
      env,
    });
    const [{ filename, files }] = JSON.parse(packed.slice(packed.indexOf('['))) as [
      { filename: string; files: { path: string }[] },
    ];
    const paths = files.map(({ path }) => path);
    t.true(paths.includes('prebuilds/linux-x64-glibc/espora.node'));
    t.true(paths.includes('dist/index.d.ts'));
    t.deepEqual(
      paths.filter((path) =>
        /^(native|test|bench|scripts|ts|contest|lab)\/|binding\.gyp|tsbuildinfo/.test(path),
      ),
      [],
    );
    const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
      gypfile: boolean;
      scripts: Record<string, string>;
    };
    t.false(manifest.gypfile);
    for (const name of ['preinstall', 'install', 'postinstall']) {
      t.false(Object.hasOwn(manifest.scripts, name));
    }

    const empty = join(directory, 'app');
    mkdirSync(empty);
    writeFileSync(join(empty, 'package.json'), '{"private": true}');
    const options = { cwd: empty, env: { ...env, CC: 'false', CXX: 'false' } };
    const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
    await outputOf('npm', ['install', ...flags, join(directory, filename)], options);
    writeFileSync(join(empty, 'a.mjs'), program("import { openStore } from 'espora';"));
    writeFileSync(join(empty, 'b.cjs'), program("const { openStore } = require('espora');"));
    t.is(await outputOf(process.execPath, ['a.mjs'], options), '1 kept\n');
    t.is(await outputOf(process.execPath, ['b.cjs'], options), '1 kept\n2 kept\n');
    const verified = await outputOf(
      'npx',
      ['espora', 'verify', '--data', 'data', '--json'],
      options,
    );
    t.like(JSON.parse(verified), { ok: true, records: 2 });
    const contest = ['espora', 'contest', '--wait', '0', '--port', '1'];
    await t.throwsAsync(outputOf('npx', contest, options), {
      message: /nothing listens on 127.0.0.1:1/,
    });
  },
);

for (const target of ['linux-x64-musl', 'linux-arm64-glibc', 'darwin-arm64-glibc']) {
  test(`${target}: the error says what was tried and how to build`, (t) => {
    const root = temporaryDirectory(t);
    const error = t.throws(() => loadAddonFrom({ root, env: {}, version: '1.0.0', target }));
    t.like(error, { code: 'ERR_ESPORA_ADDON' });
    t.true(error.message.includes(`prebuilds/${target}/espora.node`), error.message);
    t.regex(error.message, /npm run build:native/);
    t.regex(error.message, /ESPORA_ADDON/);
  });
}
