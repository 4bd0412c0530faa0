// `npm run prove` says what is wrong with its arguments before it builds or runs anything.

import test from 'ava';
import { runProgram } from '#espora/lab/program.js';
import type { Ended } from '#espora/lab/program.js';

const prove = (...args: string[]): Promise<Ended> =>
  runProgram(process.execPath, ['scripts/prove.mjs', ...args]);

for (const [args, message] of [
  [['everything'], /^There is no campaign "everything"\.\n/],
  [['sim', '--seeds', '0'], /^--seeds 0: give a whole number, 1 or more\.\n$/],
  [['sim', '--seeds', 'many'], /^--seeds many: give a whole number, 1 or more\.\n$/],
  [['sim', '--build', 'large'], /^--build large: give small, shipping or both\.\n$/],
  [['scope', '--operations', '-1'], /--operations/],
  [['scope', '--seeds', '1'], /Unknown option '--seeds'/],
  [['teeth', '--seed', '1.5'], /^--seed 1\.5: give a whole number, 0 or more\.\n$/],
] as const) {
  test(`prove ${args.join(' ')}`, async (t) => {
    const { exitCode, stdout, stderr } = await prove(...args);
    t.is(exitCode, 1);
    t.is(stdout, '');
    t.regex(stderr, message);
  });
}

test('prove --help names every campaign with its options and their defaults', async (t) => {
  const { exitCode, stdout } = await prove('--help');
  t.is(exitCode, 0);
  for (const text of ['sim:', 'scope:', 'teeth:', '--seeds', '(2000)', '--operations']) {
    t.true(stdout.includes(text), text);
  }
});
