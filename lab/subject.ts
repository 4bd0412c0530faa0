// The services under their limits that a run is played against, if the player starts them itself.
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { EsporaError } from '#espora/errors.js';
import type { NativeDatabaseStats } from '#espora/native.js';
import type { ResourceLimits } from '#espora/topology/topology.js';
import type { GroupUsage } from './control-groups.js';

/** Gets the database's counters; undefined while they cannot be had. */
export type AskDatabase = () => Promise<Partial<NativeDatabaseStats> | undefined>;

/** One service of a subject. */
export interface SubjectService {
  readonly name: string;
  readonly limits: ResourceLimits;
  /** The usage of its control group; throws while there is none. */
  readonly read: () => GroupUsage;
}

/** Services that run under limits until they are stopped. */
export interface Subject {
  /** Its name in the output: `docker/relay.yml`, `topology relay`. */
  readonly title: string;
  readonly host: string;
  readonly port: number;
  /** What enforces the limits: containers, or control groups of our own. */
  readonly limitsBy: 'containers' | 'control groups';
  readonly services: readonly SubjectService[];
  readonly askDatabase: AskDatabase;
  /** Kills the database with SIGKILL and resolves when it has ended; it is restarted automatically. */
  killDatabase(): Promise<void>;
  /** Stops everything and removes all that was created for it. Never rejects. */
  stop(): Promise<void>;
}

const answerMs = 2000;
const goneMs = 10_000;

/** Kills a process with SIGKILL and resolves when it has ended: until then it may still answer. */
export async function killAndWait(pid: number): Promise<void> {
  const giveUpAt = performance.now() + goneMs;
  process.kill(pid, 'SIGKILL');
  while (performance.now() < giveUpAt) {
    await sleep(10);
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
  }
  throw new EsporaError(
    'ERR_ESPORA_UNAVAILABLE',
    `process ${pid} is still there ${goneMs / 1000} s after SIGKILL`,
  );
}

/** The database's counters from its statistics on `port`; undefined if it does not answer. */
export function askOverHttp(port: number): Promise<Partial<NativeDatabaseStats> | undefined> {
  return new Promise((resolve) => {
    const request = get(
      { host: '127.0.0.1', port, path: '/stats', timeout: answerMs, agent: false },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.once('end', () => {
          resolve(readStats(body));
        });
        response.once('error', () => {
          resolve(undefined);
        });
      },
    );
    request.once('timeout', () => request.destroy());
    request.once('error', () => {
      resolve(undefined);
    });
  });
}

function readStats(body: string): Partial<NativeDatabaseStats> | undefined {
  try {
    const processes = JSON.parse(body) as { kind: string; service?: object }[];
    return processes.find(({ kind }) => kind === 'database')?.service;
  } catch {
    return undefined;
  }
}
