// The process that `container-arrivals` starts with a Docker engine at hand: starts the containers of all
// contestants, and plays the contest's arrivals against one after the other.

import { writeFile } from 'node:fs/promises';
import type { Subject } from '#espora/lab/subject.js';
import { takeTurns } from '../lib/statistics.js';
import { arrivalsLoad, playFlush, withAll } from './arrival-turns.js';
import type { Turn } from './arrival-turns.js';
import { subjects } from './container-arrivals.js';
import { starts } from './container-shapes.js';
import { composeFiles } from './containers.js';
import { runPlayer } from './in-docker.js';
import type { Running } from './limited-subjects.js';
import { play } from './whole-service.js';

/** What this process is told. */
export interface Orders {
  readonly small: boolean;
  readonly rounds: number;
  /** On the disk to measure; removed afterwards. */
  readonly directory: string;
  readonly generator: string;
  /** The file for the turns of each of `subjects`. */
  readonly results: string;
}

const runningOf = (subject: Subject, counts: boolean): Running => ({
  port: subject.port,
  cpuSeconds: () => subject.services.reduce((sum, { read }) => sum + read().cpuSeconds, 0),
  flushes: async () => (counts ? (await subject.askDatabase())?.flushes : undefined),
  stop: () => subject.stop(),
});

async function playAll({ small, rounds, directory, generator, results }: Orders): Promise<void> {
  const { signal } = new AbortController();
  const context = { small, directory, signal };
  const turns = await withAll(starts(directory), (running) => {
    const players = [
      () => playFlush(context),
      ...running.map((subject, index) => (): Promise<Turn> => {
        const one = runningOf(subject, index < composeFiles.length);
        return play(arrivalsLoad, one, generator, context);
      }),
    ];
    const said = players.map((player, index) => () => {
      process.stderr.write(`container-arrivals: ${subjects[index]!}\n`);
      return player();
    });
    return takeTurns(said, rounds);
  });
  await writeFile(results, JSON.stringify(turns));
}

await runPlayer(playAll);
