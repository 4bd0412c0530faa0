// What `npm run bench` runs: each trial is an entry of registry.ts.

import type { Report } from './report.js';

/** A section of bench/README.md and a document in bench/results/ each. */
export const groups = [
  'micro',
  'stack',
  'peers',
  'chain',
  'limits',
  'arrivals',
  'containers',
  'load',
] as const;
export type Group = (typeof groups)[number];

export interface Context {
  /** For continuous integration: seconds in all; shows that everything runs, proves no figure. */
  readonly small: boolean;
  /** An empty directory on the disk to measure, removed after the trial. */
  readonly directory: string;
  /** The CPU to which single-threaded processes must be pinned; undefined without taskset(1). */
  readonly cpu: number | undefined;
  /** Ends when the person gives up: whatever was started must be ended then. */
  readonly signal: AbortSignal;
  /** One line for a person who waits. */
  readonly progress: (text: string) => void;
}

/** A trial that could not be played, for a reason that its message tells: no stack trace belongs to it. */
export class TrialFailure extends Error {}

export interface Trial {
  readonly name: string;
  readonly group: Group;
  readonly title: string;
  run(context: Context): Promise<Report>;
}
