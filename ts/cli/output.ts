// Output: lines of text or, with --json, one JSON value per line.
import { EsporaError, errorTable, exitCodeOf, explain, toEsporaError } from '../errors.js';
import { harmless, oneLine } from '../shown.js';

/** The exit code of a command that found damage in a store, even if it otherwise succeeded. */
export const damagedExitCode = errorTable.ERR_ESPORA_CORRUPT.exitCode;

/** The value as JSON on one line, its control characters escaped. */
export function jsonText(value: unknown): string {
  return oneLine(JSON.stringify(value));
}

/** Writes text as a line; parts from outside must be escaped already. */
export function printShown(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Writes text, its control characters escaped. */
export function print(text: string): void {
  printShown(harmless(text));
}

export function printLine(text: string): void {
  printShown(oneLine(text));
}

/** Writes text unchanged, unless stdout is a terminal. */
export function printData(text: string): void {
  if (process.stdout.isTTY) print(text);
  else printShown(text);
}

/** Whether to use colours on this stream (https://no-color.org). */
export function colourOn(stream: { readonly isTTY?: boolean }): boolean {
  return stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
}

export function printJson(value: unknown): void {
  printShown(jsonText(value));
}

/**
 * Prints on stderr why a program ends: one sentence for an EsporaError, the stack for anything else, which
 * is a bug. Returns the exit code.
 */
export function printError(program: string, error: unknown): number {
  const text =
    error instanceof EsporaError
      ? oneLine(explain(error))
      : harmless(String(error instanceof Error ? error.stack : error));
  process.stderr.write(`${program}: ${text}\n`);
  return exitCodeOf(error);
}

/** The exit code of a command; if it fails, its error is printed. */
export async function exitCode(program: string, command: Promise<number>): Promise<number> {
  try {
    return await command;
  } catch (error) {
    return printError(program, toEsporaError(error));
  }
}

export function printNote(line: string): void {
  process.stderr.write(`${oneLine(line)}\n`);
}

export function printWarning(program: string, sentence: string): void {
  printNote(`${program}: warning: ${sentence}${sentence.endsWith('?') ? '' : '.'}`);
}

/** A number with separators: 1,234,567. */
export function number(value: number): string {
  return value.toLocaleString('en-US');
}
