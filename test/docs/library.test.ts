// The library in ten lines, as the READMEs show it, runs; its reference is that of the sources.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test from 'ava';
import { outputOf } from '#espora/lab/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';
import { libraryReference } from './library.js';

for (const file of ['README.md', 'README.pt-BR.md']) {
  test(`${file}: the library's example runs, and prints what it stored`, async (t) => {
    const pattern = /<!-- library -->\n```js\n([^]*?)```\n<!-- \/library -->/;
    const code = pattern.exec(readFileSync(file, 'utf8'))![1]!;
    t.true(code.split('\n').filter((line) => line !== '').length <= 12);
    const directory = temporaryDirectory(t);
    mkdirSync(join(directory, 'node_modules'));
    symlinkSync(resolve('.'), join(directory, 'node_modules/espora'));
    writeFileSync(join(directory, 'example.mjs'), code);
    const stdout = await outputOf(process.execPath, ['example.mjs'], { cwd: directory });
    t.is(stdout, '3 b\n2 a\n1 toma\n3 are on disk, the first of them is 1\n');
  });
}

test('docs/library.md is that of the sources', (t) => {
  const message = 'npm run build && node .build/test/docs/update.js writes it anew';
  t.is(readFileSync('docs/library.md', 'utf8'), libraryReference(), message);
});
