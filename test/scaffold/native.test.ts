// The loader of the addon: which binary it takes, and what it says when there is none.

import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import anyTest, { type TestFn } from 'ava';

import { addonCandidates, glibcFloor, loadAddonFrom, loadNative } from '#espora/addon.js';
import { checkout } from './project.js';

const test = anyTest as TestFn<{ root: string }>;

test.beforeEach(async (t) => {
  t.context.root = await mkdtemp(join(tmpdir(), 'espora-loader-'));
});
test.afterEach.always((t) => rm(t.context.root, { recursive: true, force: true }));

const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as {
  version: string;
};

/** The binary that this run of the tests uses. */
const binary = process.env['ESPORA_ADDON'] ?? join(checkout, 'build/Release/espora.node');
const built = 'build/Release/espora.node';
const prebuilt = `prebuilds/linux-${process.arch}-glibc/espora.node`;

async function put(root: string, path: string, from: string | undefined = binary): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await copyFile(from, join(root, path));
}

test('the addon of this checkout loads and is of its version', (t) => {
  t.is(loadNative().version(), version);
  t.is(loadNative(), loadNative());
});

test('the places are: the override alone, or the build and then what was built ahead', (t) => {
  const { root } = t.context;
  const paths = (env: Record<string, string>): string[] =>
    [...addonCandidates({ root, env })].map(({ path }) => path);
  t.deepEqual(paths({}), [join(root, built), join(root, prebuilt)]);
  t.deepEqual(paths({ ESPORA_ADDON: '' }), [join(root, built), join(root, prebuilt)]);
  t.deepEqual(paths({ ESPORA_ADDON: '/x/y.node' }), ['/x/y.node']);
  const ofBundle = [...addonCandidates({ root, folder: '/app/out', env: {} })];
  t.deepEqual(
    ofBundle.map(({ path }) => path),
    ['/app/out/espora.node', join(root, built), join(root, prebuilt)],
  );
});

test('without any, one error names each place and the command that builds it', (t) => {
  const { root } = t.context;
  t.throws(() => loadAddonFrom({ root, env: {}, version }), {
    code: 'ERR_ESPORA_ADDON',
    message:
      "The native addon of espora can't be loaded. Tried:\n" +
      `  ${join(root, built)} (built here): no such file\n` +
      `  ${join(root, prebuilt)} (built ahead): no such file\n` +
      'Build it with `npm run build:native` in the folder of the package, or, where that was installed from npm, in a\n' +
      'checkout of the same version, and name what it built (build/Release/espora.node) in ESPORA_ADDON. A program that\n' +
      'espora was bundled into needs the addon next to it, as espora.node, or the package installed. A binary built ahead\n' +
      `needs glibc ${glibcFloor} or later; one that was built here, the glibc it was built with`,
  });
});

test('an override that is not there is an error even where a build is', async (t) => {
  const { root } = t.context;
  await put(root, built);
  const missing = join(root, 'missing.node');
  t.throws(() => loadAddonFrom({ root, env: { ESPORA_ADDON: missing }, version }), {
    code: 'ERR_ESPORA_ADDON',
    message: new RegExp(`${missing} \\(ESPORA_ADDON\\): no such file`),
  });
});

test('what was built ahead is used where nothing was built here', async (t) => {
  const { root } = t.context;
  await put(root, prebuilt);
  t.is(loadAddonFrom({ root, env: {}, version }).version(), version);
});

test('a build that does not load is an error, not passed over', async (t) => {
  const { root } = t.context;
  await put(root, prebuilt);
  await mkdir(join(root, 'build/Release'), { recursive: true });
  await writeFile(join(root, built), 'cut short');
  const error = t.throws(() => loadAddonFrom({ root, env: {}, version }), {
    code: 'ERR_ESPORA_ADDON',
    message: /espora\.node \(built here\): .*file too short/,
  });
  t.true(error.cause instanceof Error);
});

test('a binary of another version is an error that names both', async (t) => {
  const { root } = t.context;
  await put(root, built);
  t.throws(() => loadAddonFrom({ root, env: {}, version: '99.0.0' }), {
    code: 'ERR_ESPORA_ADDON',
    message: new RegExp(`built from version ${version}, this is 99\\.0\\.0`),
  });
});
