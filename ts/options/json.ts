// JSON that a person wrote. JSON.parse keeps the last of two members with one name, in silence.

const tokens = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/g;

/** The first name that an object in `json` has twice; undefined if there is none. For valid JSON. */
export function repeatedName(json: string): string | undefined {
  // One set for each object that is open, null for each array.
  const open: (Set<string> | null)[] = [];
  let last: string | undefined;
  for (const [token] of json.matchAll(tokens)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(null);
    else if (token === '}' || token === ']') open.pop();
    else if (token.startsWith('"')) last = token;
    else if (token === ':' && last !== undefined) {
      // Two ways of writing one name are the same name.
      const name = JSON.parse(last) as string;
      const names = open.at(-1);
      if (names?.has(name) === true) return name;
      names?.add(name);
    }
  }
  return undefined;
}
