// The progress of a run on stderr: one line that is updated on a terminal, else a line every 10 s.
import cliProgress from 'cli-progress';
import type { Progress } from './contest.js';
import { count, duration } from './report.js';

const lineEveryMs = 10_000;
// During each update the player cannot read answers.
const framesPerSecond = 4;

/** `load: 12,345 of 61,503 requests, 0 failures, 1 min 40 s`. */
export function progressLine({ phase, answered, planned, failures, elapsedMs }: Progress): string {
  const failed = failures === 1 ? '1 failure' : `${count(failures)} failures`;
  const part = `${count(answered)} of ${count(planned)} requests`;
  return `${phase}: ${part}, ${failed}, ${duration(elapsedMs)}`;
}

/** Shows progress until `end` is called. */
export interface ProgressView {
  show(progress: Progress): void;
  /** Removes the line from the terminal. */
  end(): void;
}

class Lines implements ProgressView {
  readonly #stream: NodeJS.WritableStream;
  #nextAtMs = lineEveryMs;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  show(progress: Progress): void {
    if (progress.elapsedMs < this.#nextAtMs) return;
    this.#nextAtMs += lineEveryMs;
    this.#stream.write(`${progressLine(progress)}\n`);
  }

  end(): void {
    // Printed lines stay.
  }
}

class Bar implements ProgressView {
  readonly #bar: cliProgress.SingleBar;
  #started = false;

  constructor(stream: NodeJS.WritableStream) {
    this.#bar = new cliProgress.SingleBar({
      stream,
      format: '{bar} {percentage} %  {line}',
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
      fps: framesPerSecond,
      synchronousUpdate: false,
      gracefulExit: false,
    });
  }

  show(progress: Progress): void {
    const payload = { line: progressLine(progress) };
    if (this.#started) this.#bar.update(progress.answered, payload);
    else this.#bar.start(progress.planned, progress.answered, payload);
    this.#started = true;
  }

  end(): void {
    if (this.#started) this.#bar.stop();
  }
}

export function createProgress(stream: NodeJS.WritableStream & { isTTY?: boolean }): ProgressView {
  return stream.isTTY === true ? new Bar(stream) : new Lines(stream);
}
