// What a command does not need is not loaded: each runs in a Node.js that refuses to load the player of the
// contest, its equipment, and the packages that only they, or tables, need.
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { freePort } from '#espora/lab/free-port.js';
import { runEspora, startEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const hooksAgainst = (packages: readonly string[]): string => `
const refused = /\\/dist\\/(contest|lab)\\/|\\/node_modules\\/(${packages.join('|')})\\//;
export async function load(url, context, next) {
  if (refused.test(url)) throw new Error('refused: ' + url);
  return next(url, context);
}
`;

const playersPackages = ['cli-progress', 'hdr-histogram-js'];
const allPackages = [...playersPackages, 'cli-table3'];

/** The environment of a Node.js that loads none of these packages, and neither player nor equipment. */
function refusing(t: ExecutionContext, packages = allPackages): Record<string, string> {
  const directory = temporaryDirectory(t);
  const urlOf = (name: string, text: string): string => {
    const file = join(directory, name);
    writeFileSync(file, text);
    return pathToFileURL(file).href;
  };
  const told = JSON.stringify(urlOf('hooks.mjs', hooksAgainst(packages)));
  const first = urlOf('first.mjs', `import { register } from 'node:module'; register(${told});`);
  return { NODE_OPTIONS: `--import=${first}` };
}

for (const args of [
  ['--help'],
  ['--version'],
  ['contest', '--help'],
  ['help', 'contest'],
  ['admin', 'set', '--help'],
]) {
  test(`espora ${args.join(' ')}: loads neither player nor equipment`, async (t) => {
    const { exitCode, stderr } = await runEspora(t, args, { environment: refusing(t) });
    t.is(stderr, '');
    t.is(exitCode, 0);
  });
}

test('services and commands on a store load neither player nor equipment', async (t) => {
  const environment = refusing(t);
  // These print tables.
  const withTables = refusing(t, playersPackages);
  const data = join(temporaryDirectory(t), 'store');
  const start = startEspora(t, ['start', '--json', '--port', '0', '--data', data], { environment });
  await start.event('ready');
  t.is((await start.stop()).exitCode, 0);
  for (const args of [
    ['inspect', '--data', data],
    ['export', '--data', data],
    ['backup', '--data', data, '--to', `${data}-copy`],
    ['repair', '--data', data, '--to', `${data}-repaired`],
  ]) {
    const { exitCode, stderr } = await runEspora(t, args, { environment });
    t.is(exitCode, 0, stderr);
  }
  for (const args of [['verify', '--data', data], ['config']]) {
    const { exitCode, stderr } = await runEspora(t, args, { environment: withTables });
    t.is(exitCode, 0, stderr);
  }
});

test('espora contest loads them: the refusal works', async (t) => {
  const args = ['contest', '--wait', '0', '--port', String(await freePort())];
  const { stderr } = await runEspora(t, args, { environment: refusing(t) });
  t.regex(stderr, /refused: file:.*\/dist\/contest\/command\.js/);
  const { stderr: allowed } = await runEspora(t, args);
  t.regex(allowed, /nothing listens on/);
});
