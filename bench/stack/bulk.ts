// A stream through the forwarder in both directions at the same time, compared byte by byte at both
// ends, beside HAProxy's.

import { join } from 'node:path';
import { freePort } from '#espora/lab/free-port.js';
import { otherThan } from '../lib/pinning.js';
import { nativeProgram, runForJson, start } from '../lib/processes.js';
import { budget } from '../lib/report.js';
import type { Report } from '../lib/report.js';
import { figureOf, ratioOf, takeTurns } from '../lib/statistics.js';
import type { Trial } from '../lib/trial.js';
import { haproxyForwarder, ownForwarder } from './forwarders.js';
import type { Forwarder } from './forwarders.js';
import { absentNotes } from './whole-service.js';

const rounds = 5;
const bytesEachWay = 2 ** 30;
const smallBytesEachWay = 2 ** 26;

/** What bulk.cc prints. */
interface Sent {
  readonly seconds: number;
  readonly watched_cpu_seconds: number;
}

const columns: Report['columns'] = [
  { key: 'what', title: 'forwarder' },
  { key: 'seconds', title: 's' },
  { key: 'rate', title: 'MiB/s each way' },
  { key: 'ratio', title: "time over the better HAProxy's", suffix: ' ×' },
  { key: 'cpu', title: 'its CPU s' },
];

export const bulk: Trial = {
  name: 'bulk',
  group: 'load',
  title: '1 GiB each way at the same time through one connection',

  async run(context) {
    const report = { trial: this.name, title: this.title, columns };
    const espora = ownForwarder('espora, relay', 'forwarder', 'relay');
    const haproxies = [
      haproxyForwarder('HAProxy, mode tcp'),
      haproxyForwarder('HAProxy, mode tcp, option splice-auto', ['splice-auto']),
    ];
    const contestants = [espora, ...haproxies];
    const present = contestants.filter(({ missing }) => missing.length === 0);
    const bytes = context.small ? smallBytesEachWay : bytesEachWay;
    const upstream = join(context.directory, 'bulk.sock');
    const file = nativeProgram('bulk');
    const other = { cpu: otherThan(context.cpu), signal: context.signal };

    const play = async (contestant: Forwarder): Promise<Sent> => {
      context.progress(`bulk: ${contestant.title}`);
      const port = await freePort();
      const { directory } = context;
      const command = await contestant.prepare({ directory, port, upstream });
      const { pid, stop } = await start(command, { port }, context);
      const args = ['send', '--target', `127.0.0.1:${port}`, '--bytes', String(bytes)];
      const send = { file, args: [...args, '--watch', String(pid)] };
      return runForJson<Sent>(send, other).finally(stop);
    };

    const serve = { file, args: ['serve', '--unix', upstream, '--bytes', String(bytes)] };
    const server = await start(serve, { path: upstream }, other);
    const results = await takeTurns(
      present.map((contestant) => () => play(contestant)),
      context.small ? 1 : rounds,
    ).finally(server.stop);

    const secondsOf = (index: number): number[] => results[index]!.map(({ seconds }) => seconds);
    // In each round the better of HAProxy's two.
    const best =
      present.length < contestants.length
        ? undefined
        : secondsOf(1).map((seconds, round) => Math.min(seconds, secondsOf(2)[round]!));
    return {
      ...report,
      rows: present.map(({ title }, index) => ({
        what: title,
        seconds: figureOf(secondsOf(index)),
        rate: figureOf(secondsOf(index).map((seconds) => bytes / 2 ** 20 / seconds)),
        ...(best === undefined ? {} : { ratio: ratioOf(secondsOf(index), best) }),
        cpu: figureOf(results[index]!.map((sent) => sent.watched_cpu_seconds)),
      })),
      budgets:
        best === undefined
          ? []
          : [budget("espora's time over HAProxy's", ratioOf(secondsOf(0), best), '≤', 1)],
      notes: [
        'Every byte is compared with what was to come, at both ends; a wrong, missing or further one fails the trial.',
        'TCP on one side, a unix socket on the other; the forwarder alone on one CPU, both ends on another.',
        ...(context.small ? ['Less than 1 GiB: this is a small run.'] : []),
        ...absentNotes(contestants),
      ],
    };
  },
};
