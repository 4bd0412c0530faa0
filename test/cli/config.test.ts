// `espora config`: what a command would run with, and where each value came from.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { optionsOf } from '#espora/options/table.js';
import { runEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';

interface Shown {
  readonly command: string;
  readonly options: readonly {
    name: string;
    value: string | null;
    source: string;
    origin: string;
  }[];
}

test('flag, environment, file and default are told apart, in JSON', async (t) => {
  const file = join(temporaryDirectory(t), 'espora.json');
  writeFileSync(file, '{"port": 1, "data": "/from/file", "host": "::1", "mode": "relay"}');
  const ended = await runEspora(t, ['config', 'start', '--port', '3', '--config', file, '--json'], {
    environment: { PORT: '2', ESPORA_DATA: '/from/environment' },
  });
  t.is(ended.exitCode, 0);
  const { command, options } = JSON.parse(ended.stdout) as Shown;
  t.is(command, 'start');
  t.deepEqual(
    options.map(({ name }) => name),
    [...optionsOf('start')],
  );
  const of = (name: string): Shown['options'][number] => options.find((one) => one.name === name)!;
  t.like(of('port'), { value: '3', source: 'flag', origin: '--port' });
  t.like(of('data'), { value: '/from/environment', source: 'environment', origin: 'ESPORA_DATA' });
  t.like(of('host'), { value: '::1', source: 'file', origin: file });
  t.like(of('topology'), { value: 'relay', source: 'default', origin: 'default' });
  t.like(of('metricsPort'), { value: null, source: 'default' });
});

test('for people it is a table with one line per option', async (t) => {
  const ended = await runEspora(t, ['config', 'api', '--db', '/db.sock'], {
    environment: { ESPORA_IDLE_TIMEOUT: '2m' },
  });
  const lines = ended.stdout.trimEnd().split('\n');
  t.regex(lines[0]!, /^OPTION +VARIABLE +VALUE +FROM$/);
  t.is(lines.length, 1 + optionsOf('api').length);
  t.truthy(lines.find((line) => /^--db +DB +\/db\.sock +flag$/.test(line)));
  t.truthy(
    lines.find((line) => /^--idle-timeout +ESPORA_IDLE_TIMEOUT +2m +environment$/.test(line)),
  );
  t.truthy(lines.find((line) => /^--host +ESPORA_HOST +0\.0\.0\.0 +default$/.test(line)));
  t.false(ended.stdout.includes('\u001b'));
});

test('without a command it shows those of start', async (t) => {
  const ended = await runEspora(t, ['config', '--topology', 'single', '--json']);
  const { command, options } = JSON.parse(ended.stdout) as Shown;
  t.is(command, 'start');
  t.like(options[0], { name: 'topology', value: 'single', source: 'flag' });
});
