// The result of a run: plain data, as `--json` prints it.
import type { Surroundings } from '#espora/lab/surroundings.js';
import type { AuditedBalance } from './service.js';
import type { Operation } from './plan.js';
import type { PlayerFigures } from './samplers.js';
import type { Prize } from './score.js';
import type { Saturation } from './saturation.js';
import type { CommitFigures, ServiceFigures } from './service-samplers.js';
import type { TurnFigures } from './stage.js';
import type { FailureGroup, Figures } from './tally.js';
import type { TimelineRow } from './timeline.js';

export interface PhaseResult {
  readonly title: string;
  readonly startMs: number;
  readonly endMs: number;
  /** Number of requests that the plan has in it, and their outcomes. */
  readonly planned: number;
  readonly requests: number;
  readonly failures: number;
  /** Only of a load: where its rates rise and where they are constant. */
  readonly parts?: readonly PhasePart[];
}

export interface PhasePart {
  readonly title: 'ramp' | 'plateau';
  readonly startMs: number;
  readonly endMs: number;
}

/** What the services used during the run, and the result of the kill afterwards. */
export interface UnderLimits {
  readonly title: string;
  readonly limitsBy: 'containers' | 'control groups';
  readonly services: readonly ServiceFigures[];
  readonly commits: CommitFigures;
  /** Balances after the database was killed and restarted; empty if it was not killed. */
  readonly afterKill: AfterKill | undefined;
}

export interface AfterKill {
  /** Time from the kill until a statement was answered again. */
  readonly backAfterMs: number;
  readonly audit: readonly AuditedBalance[];
}

export interface ContestResult {
  /** Version of this format. */
  readonly version: 1;
  /** `interrupted`: stopped before its end; its prize is meaningless. */
  readonly outcome: 'passed' | 'failed' | 'interrupted';
  readonly service: string;
  readonly plan: string;
  readonly seed: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** The surroundings of the run. */
  readonly surroundings: Surroundings;
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
  /** Only if the load was played in turns. */
  readonly turns?: readonly TurnFigures[];
  /** Only if the player started the services itself, under limits. */
  readonly underLimits?: UnderLimits;
  /** Only if it was asked for. */
  readonly saturation?: Saturation;
}
