// Counts and times the answers, per operation and in total, and keeps the failures.
import type { Fault, FaultCode } from './checks.js';
import { LatencyHistogram } from './latency.js';
import type { Percentiles } from './latency.js';
import { operations } from './plan.js';
import type { Operation } from './plan.js';
import type { Request } from './requests.js';
import { fastBelowMs } from './score.js';

/** Figures of one operation, or of all operations. */
export interface Figures {
  readonly requests: number;
  readonly failures: number;
  /** Right answers within 250 ms. */
  readonly fast: number;
  /** From the intended start to the last byte of the answer, failures included. */
  readonly latencyMs: Percentiles;
}

/** Failures of the same kind, with the first of them. */
export interface FailureGroup {
  readonly phase: string;
  readonly operation: Operation;
  readonly code: FaultCode;
  readonly inconsistent: boolean;
  readonly count: number;
  /** The first such request: its line, and its body if there was one. */
  readonly request: string;
  /** What was wrong with its answer. */
  readonly message: string;
}

/** One answered (or failed) request. */
export interface Entry {
  readonly phase: string;
  readonly operation: Operation;
  readonly request: Request;
  readonly latencyMs: number;
  readonly fault: Fault | undefined;
}

class Counters {
  requests = 0;
  failures = 0;
  fast = 0;
  readonly latency = new LatencyHistogram();

  record(latencyMs: number, failed: boolean): void {
    this.requests++;
    if (failed) this.failures++;
    else if (latencyMs < fastBelowMs) this.fast++;
    this.latency.record(latencyMs);
  }

  figures(): Figures {
    const { requests, failures, fast } = this;
    return { requests, failures, fast, latencyMs: this.latency.percentiles() };
  }
}

// A broken service can fail in many ways; only the first few are kept.
const groupsMax = 100;

export class Tally {
  readonly #all = new Counters();
  readonly #byOperation = new Map(operations.map((operation) => [operation, new Counters()]));
  readonly #groups = new Map<
    string,
    { -readonly [Key in keyof FailureGroup]: FailureGroup[Key] }
  >();
  #inconsistencies = 0;

  get requests(): number {
    return this.#all.requests;
  }

  get failures(): number {
    return this.#all.failures;
  }

  get inconsistencies(): number {
    return this.#inconsistencies;
  }

  /** Percentage of requests with a right answer within 250 ms; 0 without requests. */
  get fastPercent(): number {
    return this.#all.requests === 0 ? 0 : (100 * this.#all.fast) / this.#all.requests;
  }

  record(entry: Entry): void {
    const { operation, latencyMs, fault } = entry;
    this.#all.record(latencyMs, fault !== undefined);
    this.#byOperation.get(operation)!.record(latencyMs, fault !== undefined);
    if (fault === undefined) return;
    if (fault.inconsistent) this.#inconsistencies++;
    this.#recordFault(entry, fault);
  }

  #recordFault({ phase, operation, request }: Entry, fault: Fault): void {
    const key = `${phase}|${operation}|${fault.code}`;
    const group = this.#groups.get(key);
    if (group !== undefined) {
      group.count++;
    } else if (this.#groups.size < groupsMax) {
      const body = request.body === undefined ? '' : ` ${request.body}`;
      this.#groups.set(key, {
        phase,
        operation,
        code: fault.code,
        inconsistent: fault.inconsistent,
        count: 1,
        request: `${request.method} ${request.path}${body}`,
        message: fault.message,
      });
    }
  }

  /** All requests. */
  all(): Figures {
    return this.#all.figures();
  }

  of(operation: Operation): Figures {
    return this.#byOperation.get(operation)!.figures();
  }

  /** In the order in which each kind was first seen. */
  failureGroups(): FailureGroup[] {
    return [...this.#groups.values()].map((group) => ({ ...group }));
  }
}
