// Logs: pino's records on stderr, as JSON lines or, on a terminal, as lines for people.
import { writeSync } from 'node:fs';
import { styleText } from 'node:util';
import { pino, type Logger } from 'pino';
import type { Values } from '../options/table.js';
import { oneLine } from '../shown.js';
import { colourOn } from './output.js';

const stderrFd = 2;

/**
 * Writes a whole line to stderr. If the reader has ended, the terminal hung up or the pipe is full, the
 * line is lost: that must not end a service.
 */
function writeLine(line: string): void {
  try {
    writeSync(stderrFd, line);
  } catch {
    // EPIPE, EIO, EAGAIN: see above.
  }
}

const colours = { debug: 'gray', info: 'cyan', warn: 'yellow', error: 'red' } as const;

// The decision was made for stderr; styleText would look at stdout.
const paint = (colour: (typeof colours)[keyof typeof colours], text: string): string =>
  styleText(colour, text, { validateStream: false });

/** One of pino's JSON lines as a line for people: time, severity, service, message, the rest. */
export function textLine(json: string, colour: boolean): string {
  const record = JSON.parse(json) as Record<string, unknown>;
  const { level, time, service, msg, pid: _pid, ...rest } = record;
  const name = String(level) as keyof typeof colours;
  const severity = colour ? paint(colours[name], name.padEnd(5)) : name.padEnd(5);
  const clock = new Date(String(time)).toISOString().slice(11, 23);
  const fields = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const details = fields.length === 0 ? '' : `  ${fields.join(' ')}`;
  return `${clock} ${severity} ${oneLine(`${String(service)}: ${String(msg)}${details}`)}\n`;
}

/** The logger of a process that is called `service`. */
export function createLogger(
  service: string,
  { logLevel, logFormat }: Pick<Values<'start'>, 'logLevel' | 'logFormat'>,
): Logger {
  const text = logFormat === 'text' || (logFormat === 'auto' && process.stderr.isTTY);
  const colour = colourOn(process.stderr);
  return pino(
    {
      level: logLevel,
      base: { service, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    {
      write: (line) => writeLine(text ? textLine(line, colour) : `${oneLine(line.trimEnd())}\n`),
    },
  );
}
