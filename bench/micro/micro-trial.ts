// A micro trial as data: cases, each played by several variants of the same work. Every variant of
// every case is a contestant in a process of its own (see contestant-process.ts).

import type { Report } from '../lib/report.js';

/** What one round gives, by name: { ns: … }. */
export type Figures = Readonly<Record<string, number>>;

export interface Contestant {
  /** Of what it makes of the workload: all contestants of a case must have the same. */
  readonly fingerprint: string;
  /** Works for about so long. The first rounds are thrown away: they are for warming up. */
  round(milliseconds: number): Figures;
  close?(): void;
}

export interface Case {
  readonly name: string;
  readonly title: string;
}

export interface Variant {
  readonly name: string;
  readonly title: string;
  /** The cases that it plays; all of them if absent. */
  readonly cases?: readonly string[];
  /** In the contestant's own process. `directory` exists and is its own. */
  prepare(caseName: string, directory: string): Contestant;
}

/** Every variant's rounds in one case, by the variant's name. */
export type CaseRounds = ReadonlyMap<string, readonly Figures[]>;

export interface Turns {
  readonly rounds: number;
  readonly roundMs: number;
  readonly warmUpMs: number;
}

/** How often contestants take turns, and for how long. */
export interface Pace {
  readonly full: Turns;
  readonly small: Turns;
}

/** V8 compiles what it sees often; after that, rounds hardly differ. */
export const paceOfComputing: Pace = {
  full: { rounds: 9, roundMs: 100, warmUpMs: 300 },
  small: { rounds: 3, roundMs: 4, warmUpMs: 12 },
};

export interface MicroTrial {
  readonly name: string;
  readonly title: string;
  readonly cases: readonly Case[];
  readonly variants: readonly Variant[];
  /** Where it needs another pace than `paceOfComputing`. */
  readonly pace?: Pace;
  /** `rounds`: by the case's name. */
  report(rounds: ReadonlyMap<string, CaseRounds>): Omit<Report, 'trial' | 'title'>;
}

/** One figure of one variant, round by round; undefined where it did not play. */
export function figuresOf(
  rounds: CaseRounds | undefined,
  variant: string,
  figure: string,
): number[] | undefined {
  return rounds?.get(variant)?.map((figures) => figures[figure]!);
}
