// Tables of accounts, as JSON in the option itself or in a file: the accounts to create in addition to
// those that a store has.
import { z } from 'zod';
import { invalid } from '../errors.js';
import { asJson } from '../shown.js';
import { readText, repeatedName } from './json.js';
import { kind, type Kind, type Refused } from './kinds.js';

/** One account; `limit` is how far below zero its balance may go, in cents. */
export interface Account {
  readonly id: number;
  readonly limit: number;
}

/** As limits::accounts_max: the table must fit in one record of the store. */
export const accountsMax = 10_000;

const accountSchema = z.strictObject({
  id: z.int().min(1).max(0xffff_ffff),
  limit: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
});

const expected =
  'a JSON array of accounts such as [{"id": 1, "limit": 100000}], or the path of a file that holds one';

const members: Readonly<Record<string, string>> = {
  id: 'it must be a whole number from 1 to 4294967295',
  limit: `it must be a whole number from 0 to ${String(Number.MAX_SAFE_INTEGER)}, in cents`,
};

/** The refusal for an invalid account. */
function refusalOf(issue: z.core.$ZodIssue, input: unknown): string {
  const [index, member] = issue.path;
  if (typeof index !== 'number' || !Array.isArray(input)) return `it must be ${expected}`;
  const where = `account ${String(index + 1)} of the table`;
  const given: unknown = input[index];
  if (issue.code === 'unrecognized_keys') {
    return `${where} has ${issue.keys.join(', ')}: an account has id and limit, and nothing else`;
  }
  if (typeof member !== 'string')
    return `${where} must be an object such as {"id": 1, "limit": 100000}`;
  const value = (given as Readonly<Record<string, unknown>>)[member];
  const shown = value === undefined ? 'missing' : asJson(value);
  return `${member} of ${where} is ${shown}: ${members[member] ?? 'it is wrong'}`;
}

/** The table, frozen, or why it is refused. */
function check(input: unknown): readonly Account[] | Refused {
  if (Array.isArray(input) && input.length > accountsMax) {
    return {
      refused: `it has ${String(input.length)} accounts, and at most ${String(accountsMax)} are possible`,
    };
  }
  const parsed = z.array(accountSchema).min(1).safeParse(input);
  if (!parsed.success) return { refused: refusalOf(parsed.error.issues[0]!, input) };
  const seen = new Set<number>();
  for (const { id } of parsed.data) {
    if (seen.has(id)) return { refused: `account ${String(id)} is in the table twice` };
    seen.add(id);
  }
  return Object.freeze(parsed.data.map((account) => Object.freeze(account)));
}

function parse(json: string): readonly Account[] | Refused {
  let input: unknown;
  try {
    input = JSON.parse(json);
  } catch (error) {
    return { refused: `it must be ${expected}; as JSON it is wrong: ${(error as Error).message}` };
  }
  const repeated = repeatedName(json);
  if (repeated !== undefined) return { refused: `an account has ${repeated} twice` };
  return check(input);
}

type AccountsInput = string | readonly Account[];

/**
 * A table of accounts: an array, or text that is a JSON array (it starts with a bracket) or the path of a
 * file. A path stays a path here; `loadAccounts` reads the file.
 */
export const accounts = (): Kind<AccountsInput, AccountsInput> =>
  kind<AccountsInput, AccountsInput>({
    input: z.union([z.string().min(1), z.array(z.any())], { error: `it must be ${expected}` }),
    read: (given) => {
      if (typeof given !== 'string') return check(given);
      return given.trimStart().startsWith('[') ? parse(given) : given;
    },
    expected,
    placeholder: '<file>',
    format: (value) => (typeof value === 'string' ? value : JSON.stringify(value)),
  });

/** The table, read from the file if a path was given. Throws an EsporaError that names the file. */
export function loadAccounts(value: AccountsInput): readonly Account[] {
  if (typeof value !== 'string') return value;
  const table = parse(readText('the accounts file', value));
  if (!('refused' in table)) return table;
  throw invalid(`the accounts file ${value} is wrong: ${table.refused}`);
}
