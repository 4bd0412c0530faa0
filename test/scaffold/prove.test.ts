// `npm run prove` says what is wrong with its arguments before it builds or runs anything.

import { execFile } from 'node:child_process';
import test from 'ava';

const prove = (...args: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, ['scripts/prove.mjs', ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });

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
    const { code, stdout, stderr } = await prove(...args);
    t.is(code, 1);
    t.is(stdout, '');
    t.regex(stderr, message);
  });
}

test('prove --help names every campaign with its options and their defaults', async (t) => {
  const { code, stdout } = await prove('--help');
  t.is(code, 0);
  for (const text of ['sim:', 'scope:', 'teeth:', '--seeds', '(2000)', '--operations']) {
    t.true(stdout.includes(text), text);
  }
});
