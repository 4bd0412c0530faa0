// A small project of its own with the real scripts, the real tools and its own sources, in a temporary
// folder: what the scripts do to a checkout is seen without touching this one.

import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { RunningProgram } from '#espora/lab/program.js';
import type { Ended } from '#espora/lab/program.js';

/** The checkout that is tested: AVA runs in its root. */
export const checkout = process.cwd();

/** The tools of a build don't belong under a sanitizer, nor to the npm run that runs the tests. */
function environment(extra: Record<string, string>): NodeJS.ProcessEnv {
  // What is installed here comes from folders: nothing waits for a registry that does not answer.
  const npm = { npm_config_offline: 'true', npm_config_update_notifier: 'false' };
  const env: NodeJS.ProcessEnv = { ...process.env, ...npm, ...extra };
  delete env['LD_PRELOAD'];
  delete env['ESPORA_ADDON'];
  return env;
}

// The least that node-gyp can make an addon of; compiles in a moment.
const addonSource = `#include <node_api.h>
NAPI_MODULE_INIT() { return exports; }
`;

/** Each is a project of TypeScript. */
const folders = ['ts', 'lab', 'contest', 'test', 'bench'];

export class Project {
  private constructor(readonly root: string) {}

  /** Its folder has a space in its name, as anybody's may. */
  static async make(): Promise<Project> {
    const project = new Project(await mkdtemp(join(tmpdir(), 'espora scaffold-')));
    const copied = ['scripts', 'binding.gyp', 'package.json', 'package-lock.json'];
    copied.push('native/binding/exports.map');
    copied.push(
      'tsconfig.json',
      'tsconfig.base.json',
      ...folders.map((folder) => `${folder}/tsconfig.json`),
    );
    for (const path of copied) {
      await cp(join(checkout, path), project.path(path), { recursive: true });
    }
    // Reading and checking the declarations of Node.js and of newer libraries is most of a small project's compilation.
    const base = JSON.parse(await readFile(project.path('tsconfig.base.json'), 'utf8')) as {
      compilerOptions: object;
    };
    const compilerOptions = { ...base.compilerOptions, types: [], lib: ['es5'] };
    await project.write('tsconfig.base.json', JSON.stringify({ ...base, compilerOptions }));
    await symlink(join(checkout, 'node_modules'), project.path('node_modules'));
    await project.write('native/sources.txt', '# a comment\nbinding/addon.cc\n');
    await project.write('native/binding/addon.cc', addonSource);
    for (const folder of folders) {
      await project.write(`${folder}/main.ts`, 'export const answer = 42;\n');
    }
    return project;
  }

  /** An empty folder with nothing but the scripts. */
  static async makeBare(): Promise<Project> {
    const project = new Project(await mkdtemp(join(tmpdir(), 'espora scaffold-')));
    await cp(join(checkout, 'scripts'), project.path('scripts'), { recursive: true });
    return project;
  }

  path(relative: string): string {
    return join(this.root, relative);
  }

  async write(relative: string, content: string): Promise<void> {
    await mkdir(dirname(this.path(relative)), { recursive: true });
    await writeFile(this.path(relative), content);
  }

  async remove(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }

  start(args: readonly string[], env: Record<string, string> = {}): RunningProgram {
    return new RunningProgram(process.execPath, args, { cwd: this.root, env: environment(env) });
  }

  run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
    return this.start(args, env).ended;
  }
}
