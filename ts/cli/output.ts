// What goes to stdout: lines for people, or with --json one JSON value per line.
import { EsporaError, errorTable, exitCodeOf, explain } from '../errors.js';

/** What every command ends with that found damage in a store, whatever else it could do. */
export const damagedExitCode = errorTable.ERR_ESPORA_CORRUPT.exitCode;

/** Writes text for whoever reads stdout; nobody reading is no failure. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
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
}

/** Writes one JSON value as a line. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

/**
 * Says on stderr why a program ends and returns its exit code: one sentence for what the world or
 * the caller did, the stack for a bug of ours.
 */
export function printError(program: string, error: unknown): number {
  const text =
    error instanceof EsporaError ? explain(error) : error instanceof Error ? error.stack : error;
  process.stderr.write(`${program}: ${String(text)}\n`);
  return exitCodeOf(error);
}

/** Says on stderr what a person should know, and goes on. */
export function printWarning(program: string, sentence: string): void {
  process.stderr.write(`${program}: warning: ${sentence}${sentence.endsWith('?') ? '' : '.'}\n`);
}

/** A number with separators: 1,234,567. */
export function number(value: number): string {
  return value.toLocaleString('en-US');
}
