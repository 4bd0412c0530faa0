// The declarations as a program outside meets them: right uses compile, wrong ones do not, whatever
// way modules are resolved, and the declarations themselves are checked.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { runProgram } from '#espora/lab/program.js';

const project = fileURLToPath(new URL('../../../', import.meta.url));
const fixture = join(project, 'test', 'fixtures', 'library-types.ts');
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');

for (const [module, resolution] of [
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
] as const) {
  test(`types: ${resolution}`, async (t) => {
    const options = {
      '--ignoreConfig': 'true',
      '--noEmit': 'true',
      '--strict': 'true',
      '--skipLibCheck': 'false',
      '--target': 'es2022',
      '--lib': 'es2022,esnext.disposable',
      '--types': 'node',
      '--module': module,
      '--moduleResolution': resolution,
    };
    const args = [compiler, ...Object.entries(options).flat(), fixture];
    const { stdout, stderr } = await runProgram(process.execPath, args, { cwd: project });
    t.is(stdout + stderr, '');
  });
}
