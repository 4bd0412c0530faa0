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
  /** Whether it ended well. */
  readonly #ended: Promise<boolean>;
  #settle: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;

  constructor(trial: MicroTrial, one: Case, variant: Variant, directory: string, context: Context) {
    this.title = `${trial.name}, ${one.title}, ${variant.title}`;
    const [command, args] = pinned(context.cpu, process.execPath, [
      '--no-deprecation', // process.binding, for Node's own parser
      script,
      trial.name,
      one.name,
      variant.name,
      directory,
    ]);
    this.#child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      signal: context.signal,
    });
    this.#child.on('message', (answer) => {
      const settle = this.#settle;
      this.#settle = undefined;
      settle?.resolve(answer as Answer);
    });
    this.#ended = new Promise((resolve) => {
      this.#child.on('error', (error) => this.#fail(error));
      this.#child.on('exit', (code, signal) => {
        const end = signal ?? `code ${code}`;
        this.#fail(new TrialFailure(`${this.title}: the process ended (${end})`));
        resolve(code === 0);
      });
    });
  }

  /** Its fingerprint, once it is prepared. */
  async ready(): Promise<string> {
    const answer = await this.#answer();
    if ('fingerprint' in answer) return answer.fingerprint;
    throw this.#refused(answer);
  }

  async round(milliseconds: number): Promise<Figures> {
    this.#send({ round: milliseconds });
    const answer = await this.#answer();
    if ('figures' in answer) return answer.figures;
    throw this.#refused(answer);
  }

  /** Resolves when the process has ended; rejects if it did not end well. */
  async close(): Promise<void> {
    if (this.#child.connected) this.#send({ close: true });
    if (!(await this.#ended)) throw this.#failure!;
  }

  #refused(answer: Answer): Error {
    const reason = 'failure' in answer ? answer.failure : `out of step: ${JSON.stringify(answer)}`;
    return new TrialFailure(`${this.title}: ${reason}`);
  }

  #send(order: Order): void {
    this.#child.send(order, (error) => error && this.#fail(error));
  }

  #answer(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#failure === undefined) this.#settle = { resolve, reject };
      else reject(this.#failure);
    });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#settle?.reject(this.#failure);
    this.#settle = undefined;
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
