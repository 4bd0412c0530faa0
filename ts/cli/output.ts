// What goes to stdout: lines for people, or with --json one JSON value per line.
import { EsporaError, errorTable, exitCodeOf, explain } from '../errors.js';

/** What every command ends with that found damage in a store, whatever else it could do. */
export const damagedExitCode = errorTable.ERR_ESPORA_CORRUPT.exitCode;

// C0 and C1 controls, DEL, and what changes the direction or the lines of text (Unicode's
// Bidi_Control, LS and PS): on a terminal they do things, in a log they forge lines.
const controls = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufeff]/gu;
const controlsButNewline = /(?!\n)[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufeff]/gu;

const escaped = (control: string): string =>
  `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Text from outside (a path, a record, a message) as one line in which nothing controls anything. */
export function oneLine(text: string): string {
  return text.replace(controls, escaped);
}

/** JSON that means the same, with nothing in it that controls a terminal. */
export function jsonText(value: unknown): string {
  return oneLine(JSON.stringify(value));
}

/** Writes text for whoever reads stdout; nobody reading is no failure. */
export function print(text: string): void {
  process.stdout.write(`${text.replace(controlsButNewline, escaped)}\n`);
}

/** Writes text as it is, if stdout is no terminal. */
export function printData(text: string): void {
  if (process.stdout.isTTY) print(text);
  else process.stdout.write(`${text}\n`);
}

/** Thrown by what only reads once nobody wants more of it: reading on would be for nobody. */
export const enough = new Error('Nobody wants more of it.');

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
  print(jsonText(value));
}

/**
 * Says on stderr why a program ends and returns its exit code: one sentence for what the world or
 * the caller did, the stack for a bug of ours.
 */
export function printError(program: string, error: unknown): number {
  const text =
    error instanceof EsporaError
      ? oneLine(explain(error))
      : String(error instanceof Error ? error.stack : error).replace(controlsButNewline, escaped);
  process.stderr.write(`${program}: ${text}\n`);
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
