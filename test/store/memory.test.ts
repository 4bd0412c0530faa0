// What opening and the tools need in memory, each in a process of its own, beside what the process
// needed that wrote the store: not more, however large its segments are. One test at a time: memory is
// what they are about, and each writes some hundred megabytes.
import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { balance, credit } from '../helpers/http.js';
import { memoryOf } from '../helpers/process.js';
import { Program, cleanEnvironment, startEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
const library = fileURLToPath(new URL('../../../dist/index.js', import.meta.url));
const segmentBytes = 64 << 20;
const records = 140 * 45;

// The library under a sanitizer keeps what was freed, and needs more for what is in use.
const sanitized = process.env['ESPORA_ADDON'] !== undefined;

/** What a program in its own process prints as the very last: the most memory that it took. */
const printPeak = `process.on('exit', () => {
  const status = require('node:fs').readFileSync('/proc/self/status', 'utf8');
  require('node:fs').writeSync(2, '\\npeak ' + /VmHWM:\\s+(\\d+)/.exec(status)[1] + '\\n');
});`;

interface Outcome {
  readonly status: number | null;
  readonly peak: number;
  readonly output: string;
}

/** Runs node with these arguments to its end. */
function run(t: ExecutionContext, ...args: string[]): Outcome {
  const preload = join(temporaryDirectory(t), 'peak.cjs');
  writeFileSync(preload, printPeak);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--require', preload, ...args], {
    env: cleanEnvironment(),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const peak = Number(/\npeak (\d+)\n/.exec(stderr)?.[1]) * 1024;
  return { status, peak, output: stdout.slice(0, 1000) + stderr };
}

/** A script with the library, and the store's directory as `directory`. */
function script(t: ExecutionContext, directory: string, code: string): Outcome {
  const begin = `import { openStore } from ${JSON.stringify(library)};
    const directory = ${JSON.stringify(directory)};`;
  return run(t, '--input-type=module', '--eval', begin + code);
}

/** Fills two segments; the second one is the last, and nearly full. */
const fill = (sync: string, end: string): string => `
  const store = await openStore(directory, { segmentBytes: ${segmentBytes}, sync: '${sync}' });
  const one = Buffer.alloc(20_000, 'x');
  for (let i = 0; i < 140; i++) await Promise.all(Array.from({ length: 45 }, () => store.append(one)));
  ${end}`;

const segmentsIn = (directory: string): number =>
  readdirSync(directory).filter((name) => name.endsWith('.seg')).length;

const notMore = (
  t: ExecutionContext,
  what: string,
  outcome: Outcome,
  running: number,
  most = 1.2,
): void => {
  t.is(outcome.status, 0, `${what}: ${outcome.output}`);
  const ratio = outcome.peak / running;
  t.log(`${what}: ${(outcome.peak / 2 ** 20).toFixed(0)} MiB, ${ratio.toFixed(2)} of running`);
  t.true(ratio < most, `${what} took ${ratio.toFixed(2)} of what running took`);
};

const measured = sanitized ? test.skip : test.serial;

measured('opening and each tool take no more memory than writing did', (t) => {
  const directory = join(temporaryDirectory(t), 'store');
  const written = script(t, directory, fill('always', 'await store.close();'));
  t.is(written.status, 0, written.output);
  t.true(segmentsIn(directory) >= 2);
  const running = written.peak;
  t.log(`running: ${(running / 2 ** 20).toFixed(0)} MiB`);

  const copy = (name: string): string => join(temporaryDirectory(t), name);
  const tools = [
    ['verify'],
    ['inspect', '--no-records'],
    ['export', '--format', 'csv'],
    ['backup', '--to', copy('backup')],
    ['repair', '--to', copy('repaired')],
  ];
  for (const [name, ...args] of tools) {
    // JavaScript keeps the lines that were printed until it collects them.
    const most = name === 'export' ? 2.2 : 1.2;
    notMore(t, name!, run(t, main, name!, ...args, '--data', directory), running, most);
  }
  const opening = script(
    t,
    directory,
    `const store = await openStore(directory);
    if (store.durableSeq !== ${records}) throw new Error(String(store.durableSeq));
    await store.close();`,
  );
  notMore(t, 'opening', opening, running);
});

// What nothing proves is copied when the store is opened: up to a whole segment.
measured('opening after a crash that left a whole segment unproven neither', (t) => {
  const directory = join(temporaryDirectory(t), 'store');
  const written = script(t, directory, fill('never', 'process.exit();'));
  t.is(written.status, 0, written.output);
  const open = `const store = await openStore(directory);
    if (store.durableSeq !== ${records}) throw new Error(String(store.durableSeq)); await store.close();`;
  notMore(t, 'opening', script(t, directory, open), written.peak);
});

// As in a container: the limit is what the first life needed, and a little.
measured(
  'a service with large segments starts again within the memory that it ran in',
  async (t) => {
    const data = join(temporaryDirectory(t), 'data');
    const args = ['database', '--data', data, '--port', '0', '--segment-bytes', '128MiB', '--json'];
    const first = startEspora(t, args);
    const ready = await first.event('ready');
    const target = { port: ready['port'] as number };
    t.is((await credit(target, 1, 5)).status, 200);
    const limit = memoryOf(first.pid, 'VmData') + (32 << 20);
    await first.stop('SIGKILL');
    t.is(segmentsIn(data), 1);

    const second = new Program(
      t,
      'prlimit',
      [`--data=${limit}`, process.execPath, main, ...args],
      {},
    );
    const again = await second.event('ready');
    t.is(await balance({ port: again['port'] as number }, 1), 5);
    const { exitCode } = await second.stop();
    t.is(exitCode, 0, second.stderr);
  },
);
