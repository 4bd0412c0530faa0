// When `npm ci` is due, and that the real npm then leaves what the check looks for.

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';

import { checkout, Project } from './project.js';

interface Lock {
  packages: Record<string, { version?: string; integrity?: string; optional?: boolean }>;
}

const { missingPackage } = (await import(join(checkout, 'scripts/lib/steps.mjs'))) as {
  missingPackage: (lock: Lock, installed: Partial<Lock>) => string | undefined;
};

const lock: Lock = {
  packages: {
    '': { version: '1.0.0' },
    'node_modules/a': { version: '1.2.3', integrity: 'sha512-a' },
    'node_modules/b': { version: '2.0.0', integrity: 'sha512-b', optional: true },
  },
};

test('nothing is missing when every package is there with its version and contents', (t) => {
  const { '': _root, ...installed } = lock.packages;
  t.is(missingPackage(lock, { packages: installed }), undefined);
});

test('an optional package that this platform lacks is not missing', (t) => {
  const installed = { packages: { 'node_modules/a': lock.packages['node_modules/a']! } };
  t.is(missingPackage(lock, installed), undefined);
});

for (const [what, found] of [
  ['absent', undefined],
  ['of another version', { version: '1.2.4', integrity: 'sha512-a' }],
  ['of other contents', { version: '1.2.3', integrity: 'sha512-x' }],
] as const) {
  test(`a package that is ${what} is missing`, (t) => {
    const packages = found === undefined ? {} : { 'node_modules/a': found };
    t.is(missingPackage(lock, { packages }), 'node_modules/a');
  });
}

test('a list that was cut short has nothing installed', (t) => {
  t.is(missingPackage(lock, {}), 'node_modules/a');
});

test('npm ci runs once, then again after the lock file or what is installed changed', async (t) => {
  const project = await Project.makeBare();
  t.teardown(() => project.remove());
  const writeLock = async (version: string): Promise<void> => {
    const own = { name: 'p', version: '1.0.0', dependencies: { dep: 'file:dep' } };
    await project.write('package.json', JSON.stringify(own));
    await project.write('dep/package.json', JSON.stringify({ name: 'dep', version }));
    await project.write(
      'package-lock.json',
      JSON.stringify({
        name: 'p',
        version: '1.0.0',
        lockfileVersion: 3,
        requires: true,
        packages: {
          '': own,
          dep: { version },
          'node_modules/dep': { resolved: 'dep', link: true },
        },
      }),
    );
  };
  const install = () =>
    project.run([
      '--input-type=module',
      '--eval',
      `import { perform, steps } from ${JSON.stringify(project.path('scripts/lib/steps.mjs'))};
       await perform(steps.dependencies, steps.dependencies.reason());`,
    ]);

  await writeLock('1.0.0');
  const first = await install();
  t.is(first.exitCode, 0, first.stderr);
  t.regex(first.stderr, /^dependencies: nothing is installed yet, working \.\.\. done in /);
  t.is((await install()).stderr, '');
  await writeLock('1.0.1');
  t.regex((await install()).stderr, /^dependencies: package-lock\.json and dep differ, /);
  t.is((await install()).stderr, '');
  await rm(project.path('node_modules/.package-lock.json'));
  t.regex((await install()).stderr, /^dependencies: the last installation did not finish, /);
  await rm(project.path('node_modules'), { recursive: true });
  await mkdir(project.path('node_modules'));
  t.regex((await install()).stderr, /^dependencies: the last installation did not finish, /);
});
