// The highest rate that a service holds: arrivals, each with its own connection, at a rate that is raised
// until answers are late or fail. The native generator makes the load, since it takes little CPU.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EsporaError } from '#espora/errors.js';
import { outputOf, runProgram } from '#espora/lab/program.js';

/** Answers are late if their 99th percentile is above this. */
export const lateMs = 10;

/** The result of one rate. */
export interface SaturationStep {
  /** Intended arrivals per second, and answers per second. */
  readonly rate: number;
  readonly answered: number;
  readonly errors: number;
  /** Arrivals that were still waiting for a connection at the end. */
  readonly waiting: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** The generator's CPU as a share of one core. */
  readonly generatorCpuPercent: number;
  readonly held: boolean;
}

export interface Saturation {
  /** Whether each arrival has its own connection, or connections are kept. */
  readonly connections: 'one per request' | 'kept';
  readonly lateMs: number;
  readonly secondsPerStep: number;
  /** Highest rate held; 0 if not even the first one was. */
  readonly heldRate: number;
  /** In the order of playing. */
  readonly steps: readonly SaturationStep[];
}

/** Plays one rate for some seconds. */
export type PlayRate = (rate: number) => Promise<SaturationStep>;

export interface SearchOptions {
  readonly firstRate: number;
  readonly factor: number;
  readonly lastRate: number;
  /** Ends when the highest rate held and the lowest one not held are this close. */
  readonly precision: number;
}

export const fullSearch: SearchOptions = {
  firstRate: 400,
  factor: 1.5,
  lastRate: 60_000,
  precision: 0.05,
};
export const quickSearch: SearchOptions = { ...fullSearch, factor: 2, precision: 0.25 };

const triesMax = 2;

/** Raises the rate until one is not held, then halves the gap. A rate that fails is tried once more. */
export async function searchRate(
  play: PlayRate,
  { firstRate, factor, lastRate, precision }: SearchOptions,
): Promise<{ readonly heldRate: number; readonly steps: readonly SaturationStep[] }> {
  const steps: SaturationStep[] = [];
  const holds = async (rate: number): Promise<boolean> => {
    for (let attempt = 0; attempt < triesMax; attempt++) {
      const step = await play(rate);
      steps.push(step);
      if (step.held) return true;
      // Far too high: another try would not help.
      if (step.answered < rate / 2) return false;
    }
    return false;
  };
  let held = 0;
  let failed: number | undefined;
  for (let rate = firstRate; failed === undefined && held < lastRate;) {
    if (await holds(rate)) held = rate;
    else failed = rate;
    rate = Math.min(lastRate, Math.round(rate * factor));
  }
  while (failed !== undefined && held > 0 && failed / held > 1 + precision) {
    const middle = Math.round((held + failed) / 2);
    if (await holds(middle)) held = middle;
    else failed = middle;
  }
  return { heldRate: held, steps };
}

/** What the generator prints. */
interface GeneratorReport {
  readonly requests_per_second: number;
  readonly errors: number;
  readonly unanswered: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
  readonly own_cpu_seconds: number;
}

/** Judges the generator's output for a rate. Pure. */
export function judge(rate: number, seconds: number, report: GeneratorReport): SaturationStep {
  const { requests_per_second: answered, errors, unanswered: waiting } = report;
  const { p50_ms: p50Ms, p99_ms: p99Ms, max_ms: maxMs, own_cpu_seconds: cpu } = report;
  return {
    rate,
    answered: Math.round(answered),
    errors,
    waiting,
    p50Ms,
    p99Ms,
    maxMs,
    generatorCpuPercent: Math.round((1000 * cpu) / seconds) / 10,
    held: errors === 0 && p99Ms <= lateMs && answered >= 0.97 * rate,
  };
}

const packageRoot = fileURLToPath(new URL('../..', import.meta.url));

/** Builds the generator if necessary, as the benchmarks do. Rejects with an EsporaError if that fails. */
export async function loadGenerator(root = packageRoot): Promise<string> {
  const builder = join(root, 'scripts/bench-programs.mjs');
  if (!existsSync(builder)) {
    const message = 'the load generator is only in the source code, not in the installed package';
    throw new EsporaError('ERR_ESPORA_UNSUPPORTED', `${message}; run it in a checkout`);
  }
  try {
    const folder = (await outputOf(process.execPath, [builder, 'load_generator'])).trim();
    return join(folder, 'bench_load_generator');
  } catch (error) {
    const [reason = ''] = String((error as Error).message).split('\n');
    const message = `the load generator can't be built: ${reason.replace(/\.$/, '')}`;
    throw new EsporaError('ERR_ESPORA_UNSUPPORTED', message);
  }
}

export interface SaturateOptions {
  /** The program, from `loadGenerator`. */
  readonly generator: string;
  /** `IPV4:PORT`, or the path of a unix socket. */
  readonly target: string;
  readonly seconds: number;
  readonly search: SearchOptions;
  readonly connections?: Saturation['connections'];
  readonly signal?: AbortSignal | undefined;
  readonly onStep?: (step: SaturationStep) => void;
}

// Most arrivals that wait for an answer at once; further ones queue in the generator, which counts as latency.
const openMax = 2000;
const warmUpSeconds = 1;

/** Finds the highest rate that a service holds. Rejects with an EsporaError. */
export async function saturate(options: SaturateOptions): Promise<Saturation> {
  const { generator, target, seconds, search, signal, onStep } = options;
  const { connections = 'one per request' } = options;
  const kept = connections === 'kept';
  const play = async (rate: number): Promise<SaturationStep> => {
    signal?.throwIfAborted();
    const args = [
      ...['--target', target, '--rate', String(rate), '--seconds', String(seconds)],
      ...['--warmup', String(warmUpSeconds), '--connections', String(kept ? 64 : openMax)],
      ...(kept ? [] : ['--per-connection']),
    ];
    const { stdout, stderr } = await runProgram(
      generator,
      args,
      signal === undefined ? {} : { signal },
    );
    // It exits with 1 if answers failed; its output says how many.
    if (stdout === '')
      throw new Error(stderr.trim() || 'the load generator ended without a report');
    const report = JSON.parse(stdout) as GeneratorReport;
    const step = judge(rate, seconds, report);
    onStep?.(step);
    return step;
  };
  return { connections, lateMs, secondsPerStep: seconds, ...(await searchRate(play, search)) };
}
