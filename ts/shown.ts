// How a value that was refused is shown in a message: never by running code that belongs to it.

const charactersMax = 40;

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
