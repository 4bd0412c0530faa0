// Where the native build finds Node.js's headers: never another version's, and without a download
// wherever there is a way.

import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';

import { checkout } from './project.js';

interface Search {
  execPath: string;
  version: string;
  env: Record<string, string>;
}
const { findHeaders, nodeGypEnvironment } = (await import(
  join(checkout, 'scripts/lib/headers.mjs')
)) as {
  findHeaders: (search: Search) => string | undefined;
  nodeGypEnvironment: (headers: string | undefined, env: Record<string, string>) => object;
};

const test = anyTest as TestFn<{ root: string; search: Search }>;

const version = '20.19.1';

test.beforeEach(async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'espora-headers-'));
  await mkdir(join(root, 'prefix/bin'), { recursive: true });
  await writeFile(join(root, 'prefix/bin/node'), '');
  const env = { XDG_CACHE_HOME: join(root, 'cache'), npm_config_nodedir: join(root, 'configured') };
  t.context = { root, search: { execPath: join(root, 'prefix/bin/node'), version, env } };
});
test.afterEach.always((t) => rm(t.context.root, { recursive: true, force: true }));

const places = {
  prefix: 'prefix',
  cache: `cache/node-gyp/${version}`,
  configured: 'configured',
} as const;

async function putHeaders(root: string, place: string, of = version, gypi = true): Promise<void> {
  const folder = join(root, place, 'include/node');
  await mkdir(folder, { recursive: true });
  const [major, minor, patch] = of.split('.');
  await writeFile(
    join(folder, 'node_version.h'),
    `#define NODE_MAJOR_VERSION ${major}\n#define NODE_MINOR_VERSION ${minor}\n` +
      `#define NODE_PATCH_VERSION ${patch}\n`,
  );
  if (gypi) await writeFile(join(folder, 'common.gypi'), '{}');
}

test('beside the executable, then node-gyp’s cache, then the configured place', async (t) => {
  const { root, search } = t.context;
  t.is(findHeaders(search), undefined);
  for (const place of [places.configured, places.cache, places.prefix]) {
    await putHeaders(root, place);
    t.is(findHeaders(search), join(root, place));
  }
});

test('an executable behind a symbolic link has its headers where it really is', async (t) => {
  const { root, search } = t.context;
  await putHeaders(root, places.prefix);
  await mkdir(join(root, 'bin'));
  await symlink(search.execPath, join(root, 'bin/node'));
  t.is(findHeaders({ ...search, execPath: join(root, 'bin/node') }), join(root, places.prefix));
});

for (const other of ['20.19.0', '20.19.10', '22.19.1', '20.1.1']) {
  test(`headers of ${other} are passed over for ${version}`, async (t) => {
    const { root, search } = t.context;
    for (const place of Object.values(places)) await putHeaders(root, place, other);
    t.is(findHeaders(search), undefined);
    await putHeaders(root, places.cache);
    t.is(findHeaders(search), join(root, places.cache));
  });
}

test('headers without common.gypi, or with no version in them, are passed over', async (t) => {
  const { root, search } = t.context;
  await putHeaders(root, places.prefix, version, false);
  await putHeaders(root, places.cache);
  await writeFile(join(root, places.cache, 'include/node/node_version.h'), '// cut');
  t.is(findHeaders(search), undefined);
});

test('what was found beats the configuration; a configured place that does not fit is dropped', (t) => {
  const env = { npm_config_nodedir: '/wrong', NPM_CONFIG_NODEDIR: '/wrong', HOME: '/h' };
  t.deepEqual(nodeGypEnvironment('/found', env), {
    HOME: '/h',
    npm_package_config_node_gyp_nodedir: '/found',
  });
  t.deepEqual(nodeGypEnvironment(undefined, env), { HOME: '/h' });
});
