// How what comes from outside is shown: a value that was refused never by running code that belongs to
// it, text never so that it controls where it is shown.

const charactersMax = 40;

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

/** The same for text of several lines. */
export function harmless(text: string): string {
  return text.replace(controlsButNewline, escaped);
}

/** Numbers, booleans and short text as they are; objects by their type alone. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(
        value.length > charactersMax ? `${value.slice(0, charactersMax)}…` : value,
      );
    case 'bigint':
      return `${value}n`;
    case 'number':
    case 'boolean':
    case 'undefined':
      return String(value);
    case 'object':
      return value === null ? 'null' : 'an object';
    case 'symbol':
    case 'function':
      return `a ${typeof value}`;
  }
}

/** As JSON where that is possible and short: for values that came from a file or a variable too. */
export function asJson(value: unknown): string {
  try {
    const json = JSON.stringify(value) as string | undefined;
    return json === undefined || json.length > 200 ? shown(value) : json;
  } catch {
    return shown(value); // a bigint, a circle, or code of the value that threw
  }
}
