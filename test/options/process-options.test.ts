// The options that no addon has, in real processes: see process-proofs.ts.
import test from 'ava';
import { freePort } from '#espora/lab/free-port.js';
import { resolveOptions } from '#espora/options/resolve.js';
import { commands, flagOf, optionOf, optionsOf, variableOf } from '#espora/options/table.js';
import type { Command, OptionName } from '#espora/options/table.js';
import { runEspora, startEspora } from '../helpers/program.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';
import { foreignVariable, processProofs } from './process-proofs.js';

const running: readonly Command[] = ['start', 'balancer', 'api', 'database'];

/** Those of a command that are proven by a process. */
const provenBy = (command: Command): readonly OptionName[] =>
  optionsOf(command).filter(
    (name) => processProofs[name] !== undefined && (name !== 'data' || command === 'database'),
  );

/** What a command cannot be without, or must not take from the test's surroundings. */
const others = (command: Command, directory: string): readonly string[] => [
  ...(command === 'balancer' ? ['--upstreams', '/run/needed.sock'] : []),
  ...(command === 'api' ? ['--db', '/run/needed.sock'] : []),
  ...(command === 'start' ? ['--data', `${directory}/data`] : []),
  ...['--host', '127.0.0.1', '--port', '0', '--json'],
];

for (const command of running) {
  for (const without of [undefined, 'logLevel'] as const) {
    const title = without === undefined ? 'all at once' : `all but ${without}`;
    test.serial(`${command}: options of the process take effect, ${title}`, async (t) => {
      const directory = temporaryDirectory(t);
      const port = await freePort();
      const names = provenBy(command).filter((name) => name !== without);
      const texts = Object.fromEntries(
        names.map((name) => [name, processProofs[name]!.text({ directory, port })]),
      ) as Partial<Record<OptionName, string>>;
      const args = Object.entries(texts).flatMap(([name, text]) => [
        flagOf(name as OptionName),
        text,
      ]);
      const program = startEspora(t, [command, ...args, ...others(command, directory)], {
        environment: { [foreignVariable]: '1' },
      });
      await program.event('ready');
      const pids =
        command === 'start'
          ? program.events
              .filter(({ event }) => event === 'service-ready')
              .map(({ pid }) => pid as number)
          : [program.pid];
      // The end of the program comes last.
      for (const name of [
        ...names.filter((one) => one !== 'drainTimeout'),
        'drainTimeout',
      ] as const) {
        await processProofs[name]!.check({ t, command, program, texts, pids });
      }
      t.is((await program.stop()).exitCode, 0);
    });
  }
}

test('options of the process are read from flags, variables and files', (t) => {
  for (const command of running) {
    for (const name of provenBy(command)) {
      const text = processProofs[name]!.text({ directory: '/d', port: 4321 });
      const value: unknown = optionOf(name).kind.schema.parse(text);
      for (const sources of [
        { flags: { [name]: text } },
        { environment: { [variableOf(name)]: text } },
        { file: { path: 'f.json', content: { [name]: text } } },
      ]) {
        const { values } = resolveOptions(command, sources);
        t.deepEqual(
          (values as Readonly<Record<string, unknown>>)[name],
          value,
          `${name} of ${command}`,
        );
      }
      t.notDeepEqual(value, optionOf(name).default as never, `${name} is its default`);
    }
  }
});

test.serial('commands that end by themselves take the store that they are told', async (t) => {
  const directory = temporaryDirectory(t);
  const data = `${directory}/own`;
  const database = startEspora(t, [
    'database',
    '--json',
    '--host',
    '127.0.0.1',
    '--port',
    '0',
    '--data',
    data,
  ]);
  await database.event('ready');
  t.is((await database.stop()).exitCode, 0);
  for (const command of commands.filter((name) => !running.includes(name))) {
    t.deepEqual(optionsOf(command), ['data'], `${command} has an option without a proof`);
    const to = ['backup', 'repair'].includes(command) ? ['--to', `${directory}/${command}`] : [];
    const ended = await runEspora(t, [command, '--data', data, ...to], { cwd: directory });
    t.is(ended.exitCode, 0, ended.stderr);
  }
});
