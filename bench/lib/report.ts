// What a trial hands back, as data: a table, budgets, notes. How it looks is decided in render.ts.

import type { Figure } from './statistics.js';

/** What a cell holds; a row without a value for a column leaves its cell empty. */
export type Value = string | number | Figure;

export interface Column {
  readonly key: string;
  readonly title: string;
  /** Stands behind each number of the column: "×", " %". */
  readonly suffix?: string;
}

/** A limit that a ratio must keep, and whether it did. */
export interface Budget {
  readonly what: string;
  readonly measured: Figure;
  readonly comparison: '≤' | '≥';
  readonly limit: number;
  readonly holds: boolean;
}

export interface Report {
  /** Name of the trial. */
  readonly trial: string;
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Readonly<Record<string, Value>>[];
  readonly budgets: readonly Budget[];
  /** One sentence each. */
  readonly notes: readonly string[];
}

/** The median decides: a range that crosses the limit is shown beside it. */
export function budget(
  what: string,
  measured: Figure,
  comparison: Budget['comparison'],
  limit: number,
): Budget {
  const holds = comparison === '≤' ? measured.median <= limit : measured.median >= limit;
  return { what, measured, comparison, limit, holds };
}
