// What the built addon needs of a system is what the documents and the loader's error say: one version
// of the C library, and no C++ runtime.
import { readFileSync } from 'node:fs';
import test from 'ava';
import { outputOf } from '#espora/lab/program.js';
import { glibcFloor } from '#espora/addon.js';

const addon = 'build/Release/espora.node';

const later = (a: string, b: string): number => {
  const [x, y] = [a, b].map((version) => version.split('.').map(Number));
  return x![0]! - y![0]! || x![1]! - y![1]! || (x![2] ?? 0) - (y![2] ?? 0);
};

test('no symbol of the addon is newer than the floor, and one is as new', async (t) => {
  const stdout = await outputOf('objdump', ['-T', addon]);
  const versions = [...stdout.matchAll(/\(?GLIBC_([0-9.]+)\)?/g)].map(([, version]) => version!);
  t.is(versions.sort(later).at(-1), glibcFloor);
  t.notRegex(stdout, /GLIBCXX_|CXXABI_/);
});

test('the addon needs the C library and nothing else, and shows only how it is loaded', async (t) => {
  const dynamic = await outputOf('objdump', ['-p', addon]);
  const needed = [...dynamic.matchAll(/NEEDED\s+(\S+)/g)].map(([, name]) => name!);
  t.deepEqual(
    needed.filter((name) => !/^(libc|libm|ld-linux-x86-64)\.so\.\d+$/.test(name)),
    [],
  );
  const stdout = await outputOf('nm', ['-D', '--defined-only', addon]);
  const shown = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ').at(-1)!.replace(/@.*/, ''));
  t.deepEqual(shown.sort(), ['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
});

test('the READMEs say the same', (t) => {
  for (const file of ['README.md', 'README.pt-BR.md']) {
    t.true(readFileSync(file, 'utf8').includes(`glibc ${glibcFloor}`), file);
  }
});
