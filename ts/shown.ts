// How input is shown in messages: without running code of the value, and so that text cannot control the
// terminal or forge lines of a log.

const charactersMax = 40;

// C0 and C1 controls, DEL, and the characters that change the direction or the lines of text (Unicode's
// Bidi_Control, LS and PS).
const controls = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufeff]/gu;
const controlsButNewline = /(?!\n)[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufeff]/gu;

const escaped = (control: string): string =>
  `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Text from outside (a path, a record, a message) on one line, its control characters escaped. */
export function oneLine(text: string): string {
  return text.replace(controls, escaped);
}

/** The same, but with its line breaks. */
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

/** As JSON if that is possible and short, else as `shown` writes it. */
export function asJson(value: unknown): string {
  try {
    const json = JSON.stringify(value) as string | undefined;
    return json === undefined || json.length > 200 ? shown(value) : json;
  } catch {
    return shown(value); // a bigint, a circular value, or code of the value that threw
  }
}
