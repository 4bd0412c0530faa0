// What is kept of containers that did not start, on a machine without an engine: programs of the test
// answer in the place of docker and docker-compose. With a real engine: containers.test.ts.
import { chmodSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ComposeProject, startCompose } from '#espora/lab/compose-project.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';
import { keepEvidence, keepingEvidence } from './evidence.js';

const labels = { 'com.docker.compose.service': 'api-1' };
// Written without a space, as an engine may.
const inspected = JSON.stringify([
  {
    Id: 'aaa',
    Config: { Labels: labels },
    HostConfig: { NanoCpus: 1, Memory: 1 },
    RestartCount: 3,
    State: { Status: 'exited', Pid: 0 },
  },
]);

const docker = `#!/bin/sh
case "$1 $2" in
'compose version') exit 1 ;;
'inspect aaa') echo '${inspected}' ;;
'inspect bbb') echo 'No such object: bbb' >&2; exit 1 ;;
'logs --timestamps') echo "what $3 said"; echo "what $3 complained of" >&2 ;;
events*) echo "events $*: die exitCode=137" ;;
esac
`;

const compose = `#!/bin/sh
case "$*" in
*up*) echo 'Container api-1 is unhealthy.' >&2; exit 1 ;;
*'ps --all --quiet') echo aaa; echo bbb ;;
*down*) echo "$*" >>"$DOWN_LOG" ;;
esac
`;

test.serial(
  'containers that do not start: their evidence is kept before they are removed',
  async (t) => {
    const directory = temporaryDirectory(t);
    const file = join(directory, 'some.yml');
    const downs = join(directory, 'downs');
    for (const [name, text] of Object.entries({ docker, 'docker-compose': compose })) {
      writeFileSync(join(directory, name), text);
      chmodSync(join(directory, name), 0o755);
    }
    writeFileSync(file, 'services: {}\n');
    writeFileSync(downs, '');
    const { PATH } = process.env;
    process.env['PATH'] = `${directory}:${PATH ?? ''}`;
    process.env['DOWN_LOG'] = downs;
    t.teardown(() => {
      process.env['PATH'] = PATH;
      delete process.env['DOWN_LOG'];
    });

    let kept = '';
    const starting = startCompose(file, {
      port: 1,
      onFailure: async (project) => {
        t.is(readFileSync(downs, 'utf8'), '', 'nothing is removed yet');
        kept = await keepEvidence(project, directory);
      },
    });
    await t.throwsAsync(starting, {
      message: /some\.yml did not start: Container api-1 is unhealthy/,
    });
    t.regex(readFileSync(downs, 'utf8'), /down --volumes/);
    const read = (name: string): string => readFileSync(join(kept, name), 'utf8');
    t.deepEqual(readdirSync(kept).sort(), [
      'api-1.json',
      'api-1.log',
      'bbb.json',
      'bbb.log',
      'events.txt',
    ]);
    t.is((JSON.parse(read('api-1.json')) as { RestartCount: number }[])[0]!.RestartCount, 3);
    t.is(read('api-1.log'), 'what aaa said\nwhat aaa complained of\n');
    t.is(read('bbb.json'), 'No such object: bbb\n', 'what cannot be had is said in its place');
    t.regex(
      read('events.txt'),
      /--filter label=com\.docker\.compose\.project=espora-.*exitCode=137/,
    );

    // Evidence that cannot be kept does not hide what failed.
    await t.throwsAsync(
      startCompose(file, { port: 1, onFailure: () => Promise.reject(new Error('a full disk')) }),
      { message: /did not start/ },
    );

    const project = await ComposeProject.open(file, 1);
    const lines: string[] = [];
    const failing = keepingEvidence(project, () => Promise.reject(new Error('on purpose')), {
      log: (line) => lines.push(line),
      below: directory,
    });
    await t.throwsAsync(failing, { message: 'on purpose' });
    t.regex(lines[0]!, /what the containers said and did is in \//);
    await project.down();
  },
);
