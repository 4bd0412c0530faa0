// What runs before `npm start` and `npm test`: builds what is due, once, and nothing when nothing is.

import { readFile, readdir, readlink, rm, stat, utimes, writeFile } from 'node:fs/promises';
import anyTest, { type TestFn } from 'ava';

import type { Ended } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';
import { Project } from './project.js';

const test = anyTest as TestFn<{ project: Project }>;

const ensure = ['scripts/ensure.mjs'];
const outputs = ['build/Release/espora.node', 'dist/main.js', '.build/test/main.js'];

/** The steps that a run said it did, in order. */
const stepsOf = (...runs: Ended[]): string[] =>
  runs.flatMap(({ stderr }) =>
    [...stderr.matchAll(/^(dependencies|native addon|typescript): /gm)].map((match) => match[1]!),
  );

const nothing = { exitCode: 0, signal: null, stdout: '', stderr: '' };

test.before(async (t) => {
  t.context.project = await Project.make();
});
test.after.always(async (t) => {
  await t.context.project.remove();
});

test.serial('two at once in a fresh checkout: each step is done once, both succeed', async (t) => {
  const { project } = t.context;
  const runs = await Promise.all([project.run(ensure), project.run(ensure)]);
  t.deepEqual(
    runs.map(({ exitCode }) => exitCode),
    [0, 0],
  );
  t.deepEqual(stepsOf(...runs), ['native addon', 'typescript']);
  for (const output of outputs) t.true((await stat(project.path(output))).isFile(), output);
});

test.serial('nothing is done where nothing is due', async (t) => {
  const { project } = t.context;
  const identities = () =>
    Promise.all(outputs.map(async (output) => (await stat(project.path(output))).mtimeMs));
  const before = await identities();
  // What is installed below the sources is nobody's to compile.
  await project.write('ts/peer/node_modules/other/index.ts', 'export {};\n');
  t.deepEqual(await project.run(ensure), nothing);
  await rm(project.path('ts/peer'), { recursive: true });
  t.deepEqual(await identities(), before);
});

test.serial('a new date on old contents is no reason', async (t) => {
  const { project } = t.context;
  const now = new Date();
  for (const file of [
    'native/binding/addon.cc',
    'ts/main.ts',
    'package-lock.json',
    'binding.gyp',
  ]) {
    await utimes(project.path(file), now, now);
  }
  t.deepEqual(await project.run(ensure), nothing);
});

test.serial('new contents under an old date are a reason', async (t) => {
  const { project } = t.context;
  const long = new Date(0);
  const source = await readFile(project.path('native/binding/addon.cc'), 'utf8');
  const before = await readFile(project.path('build/Release/espora.node'));
  await project.write(
    'native/binding/addon.cc',
    `${source}extern "C" int marked() { return 7; }\n`,
  );
  await utimes(project.path('native/binding/addon.cc'), long, long);
  t.deepEqual(stepsOf(await project.run(ensure)), ['native addon']);
  t.notDeepEqual(await readFile(project.path('build/Release/espora.node')), before);
  await writeFile(project.path('ts/main.ts'), 'export const answer = 43;\n');
  await utimes(project.path('ts/main.ts'), long, long);
  t.deepEqual(stepsOf(await project.run(ensure)), ['typescript']);
  t.regex(await readFile(project.path('dist/main.js'), 'utf8'), /43/);
  t.deepEqual(await project.run(ensure), nothing);
});

test.serial('other exports alone are a reason to link again', async (t) => {
  const { project } = t.context;
  const exports = project.path('native/binding/exports.map');
  const before = await readFile(exports, 'utf8');
  const marked = async (): Promise<boolean> =>
    (await readFile(project.path('build/Release/espora.node'))).includes('OTHER_EXPORTS');
  await writeFile(exports, before.replace('{', 'OTHER_EXPORTS {'));
  t.deepEqual(stepsOf(await project.run(ensure)), ['native addon']);
  t.true(await marked());
  await writeFile(exports, before);
  t.deepEqual(stepsOf(await project.run(ensure)), ['native addon']);
  t.false(await marked());
  t.deepEqual(await project.run(ensure), nothing);
});

test.serial('an output that is missing or was replaced is made again', async (t) => {
  const { project } = t.context;
  const binary = project.path('build/Release/espora.node');
  await rm(binary);
  t.deepEqual(stepsOf(await project.run(ensure)), ['native addon']);
  t.true((await stat(binary)).isFile());
  await rm(binary);
  await writeFile(binary, 'not an addon');
  t.deepEqual(stepsOf(await project.run(ensure)), ['native addon']);
  t.deepEqual(await project.run(ensure), nothing);
  await writeFile(binary, 'not an addon, in the same file');
  t.deepEqual(stepsOf(await project.run(ensure)), ['native addon']);
  t.deepEqual(await project.run(ensure), nothing);
  await rm(project.path('dist/main.js'));
  t.deepEqual(stepsOf(await project.run(ensure)), ['typescript']);
  t.true((await stat(project.path('dist/main.js'))).isFile());
});

test.serial('what was compiled from a source that is gone goes too', async (t) => {
  const { project } = t.context;
  await project.write('ts/gone.ts', 'export {};\n');
  t.is((await project.run(ensure)).exitCode, 0);
  t.true((await stat(project.path('dist/gone.js'))).isFile());
  await rm(project.path('ts/gone.ts'));
  t.is((await project.run(ensure)).exitCode, 0);
  await t.throwsAsync(stat(project.path('dist/gone.js')), { code: 'ENOENT' });
  await t.throwsAsync(stat(project.path('dist/gone.d.ts')), { code: 'ENOENT' });
});

test.serial('a failing step shows the tool’s output and one sentence, and stays due', async (t) => {
  const { project } = t.context;
  const source = await readFile(project.path('native/binding/addon.cc'), 'utf8');
  await project.write('native/binding/addon.cc', 'this is no C++\n');
  for (let time = 0; time < 2; ++time) {
    const failed = await project.run(ensure);
    t.is(failed.exitCode, 1);
    t.regex(failed.stderr, /addon\.cc:1:1: error:/);
    t.regex(failed.stderr, /\nThe native build failed\. It needs g\+\+/);
    t.notRegex(failed.stderr, /steps\.mjs/, 'no stack trace of ours');
    t.deepEqual(stepsOf(failed), ['native addon'], 'later steps are not tried');
  }
  // The linker takes it for something that Node.js will bring.
  await project.write('native/binding/addon.cc', `${source}void nowhere();\nauto f = &nowhere;\n`);
  const unloadable = await project.run(ensure);
  t.is(unloadable.exitCode, 1);
  t.regex(unloadable.stderr, /undefined symbol: _Z7nowherev/);
  await project.write('native/binding/addon.cc', source);

  await project.write('ts/main.ts', 'export const answer: string = 42;\n');
  const failed = await project.run(ensure);
  t.is(failed.exitCode, 1);
  t.regex(failed.stderr, /ts\/main\.ts.*error TS2322/);
  t.regex(failed.stderr, /\nTypeScript did not compile: /);
  await project.write('ts/main.ts', 'export const answer = 42;\n');
  t.is((await project.run(ensure)).exitCode, 0);
});

test.serial('a build that was killed is waited for and done again', async (t) => {
  const { project } = t.context;
  await project.write('native/binding/note.h', '#pragma once\n// changed\n');
  const first = project.start(ensure);
  t.true(await first.heard(() => first.stderr.includes('native addon: ') || undefined));
  // Its node-gyp lives on and holds the lock: a second build in the same folder would collide.
  first.child.kill('SIGKILL');
  const second = await project.run(ensure);
  t.is((await first.ended).exitCode, null);
  t.is(second.exitCode, 0);
  t.deepEqual(stepsOf(second), ['native addon']);
  t.deepEqual(await project.run(ensure), nothing);
});

/** The processes that work in `folder` or below. */
async function processesOf(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const where = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if (where === folder || where.startsWith(`${folder}/`)) found.push(pid);
  }
  return found;
}

test.serial('an interrupted build ends its tools with it', async (t) => {
  const { project } = t.context;
  await project.write('native/binding/note.h', '#pragma once\n// changed again\n');
  const first = project.start(ensure);
  t.true(await first.heard(() => first.stderr.includes('native addon: ') || undefined));
  await until('its tools run', async () => (await processesOf(project.root)).length >= 2);
  first.child.kill('SIGTERM');
  t.is((await first.ended).exitCode, 143);
  t.deepEqual(await processesOf(project.root), []);
  t.deepEqual(stepsOf(await project.run(ensure)), ['native addon']);
});

test.serial('a nodedir that the user’s configuration gets wrong does not matter', async (t) => {
  const { project } = t.context;
  const wrong = { npm_config_nodedir: '/nonexistent', NPM_CONFIG_NODEDIR: '/nonexistent' };
  const built = await project.run(['scripts/build-native.mjs', '--clean'], wrong);
  t.is(built.exitCode, 0, built.stderr);
  t.is(built.stdout, 'build/Release/espora.node is ready.\n');
});
