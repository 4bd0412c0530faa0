// What a run came to: plain data, as `--json` prints it.
import type { AuditedBalance } from './service.js';
import type { Operation } from './plan.js';
import type { PlayerFigures } from './samplers.js';
import type { Prize } from './score.js';
import type { FailureGroup, Figures } from './tally.js';
import type { TimelineRow } from './timeline.js';

export interface PhaseResult {
  readonly title: string;
  readonly startMs: number;
  readonly endMs: number;
  /** Requests that the plan has in it, and what became of them. */
  readonly planned: number;
  readonly requests: number;
  readonly failures: number;
}

export interface ContestResult {
  /** Version of this shape. */
  readonly version: 1;
  /** `interrupted`: stopped before its end; its prize says nothing. */
  readonly outcome: 'passed' | 'failed' | 'interrupted';
  readonly service: string;
  readonly plan: string;
  readonly seed: number;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly durationMs: number;
  readonly plannedRequests: number;
  readonly requests: number;
  readonly failures: number;
  readonly inconsistencies: number;
  /** Of all requests, those answered right and below 250 ms. */
  readonly fastPercent: number;
  readonly prize: Prize;
  readonly all: Figures;
  readonly operations: Readonly<Record<Operation, Figures>>;
  readonly failureGroups: readonly FailureGroup[];
  /** Balances after the run; empty if it was interrupted. */
  readonly audit: readonly AuditedBalance[];
  readonly phases: readonly PhaseResult[];
  readonly timeline: readonly TimelineRow[];
  readonly player: PlayerFigures;
}
