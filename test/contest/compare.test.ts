// `espora contest compare`: two results as ratios, and files that are no results.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { compareText, readResult } from '#espora/contest/compare.js';
import { EsporaError } from '#espora/errors.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';
import { playOn, short } from './plans.js';
import { referenceServer } from './reference-server.js';

test('what --json wrote is read back, and compared with itself is 1.00 everywhere', async (t) => {
  const result = await playOn((await referenceServer(t)).port, short);
  const file = join(temporaryDirectory(t), 'a.json');
  writeFileSync(file, JSON.stringify(result));
  const text = compareText(readResult(file), readResult(file), ['a', 'b']);
  const lines = text.split('\n').slice(1);
  t.true(lines.length > 8);
  for (const line of lines) t.regex(line, / 1\.00$/, line);
});

test('a difference is a ratio of after to before, and what makes runs unlike is said first', async (t) => {
  const before = await playOn((await referenceServer(t)).port, short);
  const all = { ...before.all, latencyMs: { ...before.all.latencyMs, p50: 2, p99: 0 } };
  const after = { ...before, plan: 'other', outcome: 'failed' as const, all };
  const from = { ...before, all: { ...all, latencyMs: { ...all.latencyMs, p50: 4 } } };
  const text = compareText(
    from,
    { ...after, all: { ...all, latencyMs: { ...all.latencyMs, p99: 3 } } },
    ['a.json', 'b.json'],
  );
  t.regex(text, /^Note: plans differ: short, other\.\nNote: b\.json failed\.\n/);
  t.regex(text, /all p50 +4\.00 ms +2\.00 ms +0\.50\n/);
  t.regex(text, /all p99 +0\.00 ms +3\.00 ms +from 0/);
});

for (const [what, content] of [
  ['nothing', undefined],
  ['no JSON', '{'],
  ['another JSON', '{"version": 1}'],
  ['null', 'null'],
] as const) {
  test(`a file with ${what} is refused in one sentence`, (t) => {
    const file = join(temporaryDirectory(t), 'a.json');
    if (content !== undefined) writeFileSync(file, content);
    const error = t.throws(() => readResult(file));
    t.true(error instanceof EsporaError);
    t.regex(error.message, /a\.json .*; it must be what espora contest --json FILE writes$/);
  });
}
