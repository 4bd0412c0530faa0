// A stream through the forwarder in both directions at the same time, compared byte by byte at both
// ends, beside HAProxy's.

import { join } from 'node:path';
import { freePort } from '#espora/lab/free-port.js';
import { otherThan } from '../lib/pinning.js';
import { buildPrograms, runForJson, startProgram } from '../lib/programs.js';
import { budget } from '../lib/report.js';
import type { Report } from '../lib/report.js';
import { figureOf, ratioOf, takeTurns } from '../lib/statistics.js';
import type { Trial } from '../lib/trial.js';
import { haproxySubject, nativeSubject } from './forwarding-subjects.js';
import type { Subject } from './forwarding-subjects.js';

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
    const programs = await buildPrograms();
    if (programs === undefined) {
      return { ...report, rows: [], budgets: [], notes: ['Left out: it needs cmake.'] };
    }
    const espora = nativeSubject('espora, relay', programs('forwarder'), 'relay');
    const haproxies = [
      haproxySubject('HAProxy, mode tcp'),
      haproxySubject('HAProxy, mode tcp, option splice-auto', ['splice-auto']),
    ];
    const subjects = [espora, ...haproxies];
    const present = subjects.filter(({ missing }) => missing.length === 0);
    const bytes = context.small ? smallBytesEachWay : bytesEachWay;
    const upstream = join(context.directory, 'bulk.sock');
    const file = programs('bulk');
    const other = { cpu: otherThan(context.cpu), signal: context.signal };

    const play = async (subject: Subject): Promise<Sent> => {
      context.progress(`bulk: ${subject.title}`);
      const port = await freePort();
      const { directory } = context;
      const command = await subject.prepare({ directory, port, upstream });
      const program = await startProgram(command, { port }, context);
      const args = ['send', '--target', `127.0.0.1:${port}`, '--bytes', String(bytes)];
      const send = runForJson({ file, args: [...args, '--watch', String(program.pid)] }, other);
      return (await send.finally(() => program.stop())) as Sent;
    };

    const serve = { file, args: ['serve', '--unix', upstream, '--bytes', String(bytes)] };
    const server = await startProgram(serve, { path: upstream }, other);
    const results = await takeTurns(
      present.map((subject) => () => play(subject)),
      context.small ? 1 : rounds,
    ).finally(() => server.stop());

    const secondsOf = (index: number): number[] => results[index]!.map(({ seconds }) => seconds);
    // In each round the better of HAProxy's two.
    const best =
      present.length < subjects.length
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
        ...subjects
          .filter(({ missing }) => missing.length > 0)
          .map(({ title, missing }) => `Left out: ${title}; missing: ${missing.join(', ')}.`),
      ],
    };
  },
};
