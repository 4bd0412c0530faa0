// The declarations as a program outside meets them: right uses compile, wrong ones do not, whatever
// way modules are resolved, and the declarations themselves are checked.
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';

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
    const run = promisify(execFile)(
      process.execPath,
      [compiler, ...Object.entries(options).flat(), fixture],
      {
        cwd: project,
      },
    );
    const output = await run.then(
      ({ stdout }) => stdout,
      (error: { stdout: string; stderr: string }) => error.stdout + error.stderr,
    );
    t.is(output, '');
  });
}
