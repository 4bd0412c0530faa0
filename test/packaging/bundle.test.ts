// The library bundled into a program, as ESM and as CommonJS: what it knows of itself does not hang on
// where its files lie, least of all on the program's package.json.
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { build } from 'esbuild';
import { outputOf } from '#espora/lab/program.js';
import { version } from '#espora/version.js';
import { cleanEnvironment } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const library = resolve('dist/index.js');

const program = `
import { Balancer, EsporaError, openStore } from ${JSON.stringify(library)};
async function main() {
  try {
    const store = await openStore(process.argv[2]);
    const { seq } = await store.append(Buffer.from('kept'));
    await store.close();
    new Balancer({ port: 0, upstreams: ['127.0.0.1:1'] });
    console.log('stored', seq);
  } catch (error) {
    console.log(error instanceof EsporaError, error.code, error.message);
  }
}
main();
`;

/** The text of the program, bundled with the library. */
async function bundle(format: 'esm' | 'cjs', minify: boolean): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: program, resolveDir: tmpdir(), sourcefile: 'app.js' },
    bundle: true,
    platform: 'node',
    format,
    minify,
    write: false,
    logLevel: 'silent',
    // What CommonJS packages need of their own in a bundle of ESM.
    banner:
      format === 'esm'
        ? {
            js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);",
          }
        : {},
  });
  return outputFiles[0]!.text;
}

/** A program of another name and version in folders of its own; what it is run with prints. */
async function installed(
  t: ExecutionContext,
  format: 'esm' | 'cjs',
  text: Promise<string>,
): Promise<{ folder: string; print: (cwd?: string) => Promise<string> }> {
  const app = temporaryDirectory(t);
  const folder = join(app, 'out');
  mkdirSync(folder);
  writeFileSync(join(app, 'package.json'), '{"name": "app", "version": "9.9.9"}');
  const outfile = join(folder, format === 'esm' ? 'app.mjs' : 'app.cjs');
  writeFileSync(outfile, await text);
  const env = cleanEnvironment();
  delete env['ESPORA_ADDON'];
  return {
    folder,
    print: (cwd = app) => outputOf(process.execPath, [outfile, join(app, 'data')], { env, cwd }),
  };
}

/** In `folder`, a package of our name whose addon is none: whatever loads it fails. */
function install(folder: string): void {
  const root = join(folder, 'node_modules/espora');
  mkdirSync(join(root, 'build/Release'), { recursive: true });
  writeFileSync(join(root, 'package.json'), '{"name": "espora", "version": "0.0.1"}');
  writeFileSync(join(root, 'build/Release/espora.node'), 'of another version');
}

for (const format of ['esm', 'cjs'] as const) {
  for (const minify of [false, true]) {
    const text = bundle(format, minify);
    const name = `${format}${minify ? ', minified' : ''}`;
    test(`${name}: loads without the addon, and says what it needs when it is used`, async (t) => {
      const { folder, print } = await installed(t, format, text);
      const stdout = await print();
      t.regex(stdout, /^true ERR_ESPORA_ADDON/);
      t.true(stdout.includes(join(folder, 'espora.node')), stdout);
    });

    test(`${name}: works with the addon beside it`, async (t) => {
      const { folder, print } = await installed(t, format, text);
      copyFileSync('build/Release/espora.node', join(folder, 'espora.node'));
      t.is(await print(), 'stored 1\n');
    });

    test(`${name}: works with the package installed`, async (t) => {
      const { folder, print } = await installed(t, format, text);
      mkdirSync(join(folder, '../node_modules'));
      symlinkSync(resolve('.'), join(folder, '../node_modules/espora'));
      t.is(await print(), 'stored 1\n');
    });

    test(`${name}: the addon beside it comes before that of a package of another version`, async (t) => {
      const { folder, print } = await installed(t, format, text);
      install(dirname(folder));
      t.regex(await print(), /^true ERR_ESPORA_ADDON[^]*built here/);
      copyFileSync('build/Release/espora.node', join(folder, 'espora.node'));
      t.is(await print(), 'stored 1\n');
    });

    test(`${name}: nothing is taken from the working directory`, async (t) => {
      const { folder, print } = await installed(t, format, text);
      const elsewhere = temporaryDirectory(t);
      install(elsewhere);
      const stdout = await print(elsewhere);
      t.regex(stdout, /^true ERR_ESPORA_ADDON/);
      t.false(stdout.includes(elsewhere), stdout);
      copyFileSync('build/Release/espora.node', join(folder, 'espora.node'));
      t.is(await print(elsewhere), 'stored 1\n');
    });
  }
}

test('the version in ts/version.ts is that of package.json', (t) => {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  t.is(version, manifest.version);
});
