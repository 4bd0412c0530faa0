// From which size on splicing a message costs less than copying it: what the forwarder's threshold
// stands on.

import { otherThan } from '../lib/pinning.js';
import { nativeProgram, runForJson } from '../lib/processes.js';
import type { Report } from '../lib/report.js';
import { figureOf, ratioOf, takeTurns } from '../lib/statistics.js';
import type { Trial } from '../lib/trial.js';

const rounds = 7;
const kibibyte = 1024;
const sizes = [1, 2, 4, 8, 16, 32, 64, 256].map((size) => size * kibibyte);
// In each round about as many bytes of each size.
const bytesPerRound = 2 ** 27;
const messagesMax = 20_000;
const smallMessages = 200;
const ways = ['tcp', 'unix'] as const;

const columns: Report['columns'] = [
  { key: 'size', title: 'message', suffix: ' KiB' },
  { key: 'from', title: 'from, to' },
  { key: 'copy', title: 'copied, CPU µs' },
  { key: 'splice', title: 'spliced, CPU µs' },
  { key: 'ratio', title: 'spliced over copied', suffix: ' ×' },
];

export const splice: Trial = {
  name: 'splice',
  group: 'load',
  title: 'a message copied by recv and send, or spliced through a pipe',

  async run(context) {
    const report = { trial: this.name, title: this.title, columns, budgets: [] };
    const cases = ways.flatMap((from) => sizes.map((size) => ({ from, size })));
    const play = async ({ from, size }: (typeof cases)[number], how: 'copy' | 'splice') => {
      const messages = context.small ? smallMessages : Math.min(messagesMax, bytesPerRound / size);
      const args = ['--bytes', String(size), '--messages', String(messages), `--${how}`];
      const cpu = otherThan(context.cpu) === undefined ? undefined : context.cpu;
      const printed = await runForJson<{ readonly cpu_us_per_message: number }>(
        { file: nativeProgram('splice_threshold'), args: [...args, `--from-${from}`] },
        { cpu, signal: context.signal },
      );
      return printed.cpu_us_per_message;
    };
    context.progress('splice');
    const players = cases.flatMap((one) => [() => play(one, 'copy'), () => play(one, 'splice')]);
    const results = await takeTurns(players, context.small ? 1 : rounds);
    return {
      ...report,
      rows: cases.map(({ from, size }, index) => {
        const [copied, spliced] = [results[2 * index]!, results[2 * index + 1]!];
        return {
          size: size / kibibyte,
          from: from === 'tcp' ? 'TCP, unix' : 'unix, TCP',
          copy: figureOf(copied),
          splice: figureOf(spliced),
          ratio: ratioOf(spliced, copied),
        };
      }),
      notes: [
        'One message at a time, wholly there before the next is sent; the CPU of the thread that moves them, its waiting for the next one included.',
      ],
    };
  },
};
