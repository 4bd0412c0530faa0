// Plays a micro trial: starts each case's contestants, pinned to one CPU, lets them take turns, and
// refuses figures of contestants that did not do the same work.

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pinned } from '../lib/pinning.js';
import { takeTurns } from '../lib/statistics.js';
import type { Context, Trial } from '../lib/trial.js';
import { TrialFailure } from '../lib/trial.js';
import type { Answer, Order } from './contestant-process.js';
import type { Case, CaseRounds, Figures, MicroTrial, Variant } from './micro-trial.js';
import { paceOfComputing } from './micro-trial.js';

const script = fileURLToPath(new URL('./contestant-process.js', import.meta.url));

/** The other end of contestant-process.ts. One order at a time. */
class ContestantProcess {
  readonly title: string;
  readonly #child: ChildProcess;
  /** Resolves when it has ended well; rejects when it could not be started, or ended otherwise. */
  readonly #ended: Promise<void>;

  constructor(trial: MicroTrial, one: Case, variant: Variant, directory: string, context: Context) {
    this.title = `${trial.name}, ${one.title}, ${variant.title}`;
    // process.binding, for Node's own parser, is deprecated.
    const begin = ['--no-deprecation', script, trial.name, one.name, variant.name, directory];
    const [command, args] = pinned(context.cpu, process.execPath, begin);
    this.#child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      signal: context.signal,
    });
    this.#ended = new Promise((resolve, reject) => {
      // What was started ends as well when it is aborted.
      this.#child.on('error', (error) => this.#child.pid === undefined && reject(error));
      this.#child.on('exit', (code, signal) => {
        if (code === 0) resolve();
        else reject(this.#failure(`the process ended (${signal ?? `code ${code}`})`));
      });
    });
    this.#ended.catch(() => undefined);
  }

  /** Its fingerprint, once it is prepared. */
  async ready(): Promise<string> {
    const answer = await this.#answer();
    if ('fingerprint' in answer) return answer.fingerprint;
    throw this.#failure(answer);
  }

  async round(milliseconds: number): Promise<Figures> {
    this.#send({ round: milliseconds });
    const answer = await this.#answer();
    if ('figures' in answer) return answer.figures;
    throw this.#failure(answer);
  }

  /** Resolves when the process has ended; rejects if it did not end well. */
  close(): Promise<void> {
    if (this.#child.connected) this.#send({ close: true });
    return this.#ended;
  }

  #failure(reason: Answer | string): TrialFailure {
    const known = typeof reason === 'object' && 'failure' in reason ? reason.failure : reason;
    const text = typeof known === 'string' ? known : `out of step: ${JSON.stringify(known)}`;
    return new TrialFailure(`${this.title}: ${text}`);
  }

  #send(order: Order): void {
    // What cannot be sent to has ended, which says more.
    this.#child.send(order, () => undefined);
  }

  #answer(): Promise<Answer> {
    const early = this.#ended.then((): never => {
      throw this.#failure('the process ended (code 0)');
    });
    const answer = new Promise<Answer>((resolve) => {
      this.#child.once('message', (message) => resolve(message as Answer));
    });
    return Promise.race([answer, early]);
  }
}

/** A TrialFailure that names those who disagree, unless all fingerprints are the same. */
export function checkFingerprints(
  prints: readonly (readonly [title: string, print: string])[],
): void {
  const [first] = prints;
  const other = prints.find(([, print]) => print !== first![1]);
  if (other === undefined) return;
  throw new TrialFailure(`"${first![0]}" and "${other[0]}" did not do the same work`);
}

async function playCase(trial: MicroTrial, one: Case, context: Context): Promise<CaseRounds> {
  const { full, small } = trial.pace ?? paceOfComputing;
  const { rounds, roundMs, warmUpMs } = context.small ? small : full;
  const variants = trial.variants.filter(({ cases }) => cases?.includes(one.name) ?? true);
  const processes: ContestantProcess[] = [];
  try {
    const prints: [string, string][] = [];
    // One after the other: preparing may be work as well.
    for (const variant of variants) {
      const directory = join(context.directory, one.name, variant.name);
      mkdirSync(directory, { recursive: true });
      const contestant = new ContestantProcess(trial, one, variant, directory, context);
      processes.push(contestant);
      prints.push([contestant.title, await contestant.ready()]);
      await contestant.round(warmUpMs);
    }
    checkFingerprints(prints);
    const players = processes.map((contestant) => () => contestant.round(roundMs));
    const played = await takeTurns(players, rounds);
    await Promise.all(processes.map((contestant) => contestant.close()));
    return new Map(variants.map(({ name }, index) => [name, played[index]!]));
  } finally {
    // Nobody is left behind, whatever happened before.
    await Promise.allSettled(processes.map((contestant) => contestant.close()));
  }
}

/** A micro trial as an entry of the registry. */
export function asTrial(trial: MicroTrial): Trial {
  const { name, title } = trial;
  return {
    name,
    title,
    group: 'micro',
    async run(context) {
      const rounds = new Map<string, CaseRounds>();
      for (const one of trial.cases) {
        context.progress(`${name}: ${one.title}`);
        rounds.set(one.name, await playCase(trial, one, context));
      }
      return { trial: name, title, ...trial.report(rounds) };
    },
  };
}
