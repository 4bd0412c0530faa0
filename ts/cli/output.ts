// What goes to stdout: lines for people, or with --json one JSON value per line.
import { EsporaError, errorTable, exitCodeOf, explain } from '../errors.js';
import { harmless, oneLine } from '../shown.js';

/** What every command ends with that found damage in a store, whatever else it could do. */
export const damagedExitCode = errorTable.ERR_ESPORA_CORRUPT.exitCode;

/** JSON that means the same, with nothing in it that controls a terminal. */
export function jsonText(value: unknown): string {
  return oneLine(JSON.stringify(value));
}

/** Writes text of which every part from outside is one line already; nobody reading is no failure. */
export function printShown(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Writes any text so that it controls no terminal. */
export function print(text: string): void {
  printShown(harmless(text));
}

/** Writes any text as one line. */
export function printLine(text: string): void {
  printShown(oneLine(text));
}

/** Writes text as it is, if stdout is no terminal. */
export function printData(text: string): void {
  if (process.stdout.isTTY) print(text);
  else printShown(text);
}

/** Whether there is somebody on this stream to see colours (https://no-color.org). */
export function colourOn(stream: { readonly isTTY?: boolean }): boolean {
  return stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
}

/** Thrown by a command that only reads, once its output is closed: no reader is left for the rest. */
export const enough = new Error('The output is closed.');

let gone = false;

/** Ends whatever only reads and prints, where nobody reads what it prints. */
export function stopIfNobodyReads(): void {
  if (gone) throw enough;
}

/**
 * From here on `print` into a pipe waits until there is room, so that output of any size needs no
 * memory. Not for services: nobody's slowness may stop them.
 */
export function printInStep(): void {
  const { _handle: handle } = process.stdout as unknown as {
    _handle?: { setBlocking?: (on: boolean) => void };
  };
  handle?.setBlocking?.(true);
  process.stdout.once('error', () => {
    gone = true;
  });
}

/** Writes one JSON value as a line. */
export function printJson(value: unknown): void {
  printShown(jsonText(value));
}

/**
 * Says on stderr why a program ends and returns its exit code: one sentence for what the world or
 * the caller did, the stack for a bug of ours.
 */
export function printError(program: string, error: unknown): number {
  const text =
    error instanceof EsporaError
      ? oneLine(explain(error))
      : harmless(String(error instanceof Error ? error.stack : error));
  process.stderr.write(`${program}: ${text}\n`);
  return exitCodeOf(error);
}

/** Says on stderr what goes on, on one line. */
export function printNote(line: string): void {
  process.stderr.write(`${oneLine(line)}\n`);
}

/** Says on stderr what a person should know, and goes on. */
export function printWarning(program: string, sentence: string): void {
  printNote(`${program}: warning: ${sentence}${sentence.endsWith('?') ? '' : '.'}`);
}

/** A number with separators: 1,234,567. */
export function number(value: number): string {
  return value.toLocaleString('en-US');
}
