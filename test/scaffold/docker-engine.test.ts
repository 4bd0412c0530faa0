// The Docker engine that a script starts for itself goes with the script, whichever way that ends.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { RunningProgram } from '#espora/lab/program.js';
import { until } from '#espora/lab/until.js';
import { isRunning } from '../helpers/process.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const missing =
  process.getuid!() !== 0
    ? 'only root may start a Docker engine'
    : existsSync('/usr/sbin/dockerd')
      ? undefined
      : 'there is no /usr/sbin/dockerd (docker.io)';
if (missing !== undefined) process.stderr.write(`scaffold/docker-engine: skipped: ${missing}\n`);
const real = missing === undefined ? test.serial : test.skip;

// What a script does meanwhile: nothing, or run a tool.
const works = {
  'while it starts': '',
  'while nothing runs': `console.log('started'); setInterval(() => {}, 1000);`,
  'while a tool runs': `console.log('started');
    await run(process.execPath, ['--eval', 'setInterval(() => {}, 1000)']).finally(engine.stop);`,
} as const;

const library = JSON.stringify(process.cwd());

/** A script that starts an engine below `parent`: its process, and the engine's, once it does `work`. */
async function startScript(t: ExecutionContext, parent: string, work: string) {
  const program = `
    const { startOwn } = await import(${library} + '/scripts/lib/docker-engine.mjs');
    const { run, runScript } = await import(${library} + '/scripts/lib/run.mjs');
    await runScript(async () => {
      const engine = await startOwn(${JSON.stringify(parent)});
      ${work}
    });`;
  const script = new RunningProgram(process.execPath, ['--input-type=module', '--eval', program]);
  t.teardown(() => script.child.kill('SIGKILL'));
  if (work !== '') await script.heard(() => script.lines[0]);
  const pid = await until('the engine has written its id', () => pidBelow(parent));
  return { script, pid };
}

for (const [when, work] of Object.entries(works)) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    real(`${signal} ${when} leaves no engine and nothing of it behind`, async (t) => {
      const parent = temporaryDirectory(t);
      const { script, pid } = await startScript(t, parent, work);
      t.is((await script.stop(signal)).exitCode, signal === 'SIGINT' ? 130 : 143);
      t.false(isRunning(pid));
      t.deepEqual(readdirSync(parent), []);
    });
  }
}

real('a script that is killed takes its engine along', async (t) => {
  const { script, pid } = await startScript(t, temporaryDirectory(t), works['while nothing runs']);
  script.child.kill('SIGKILL');
  t.true(await until('the engine has ended', () => !isRunning(pid)));
});

function pidBelow(parent: string): number | undefined {
  const [folder] = readdirSync(parent);
  const file = folder === undefined ? '' : join(parent, folder, 'pid');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return text === '' ? undefined : Number(text);
}
