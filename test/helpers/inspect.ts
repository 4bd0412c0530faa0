// The contents of a store, as `espora inspect --json` shows them.
import { outputOf } from '#espora/lab/program.js';
import { mainPath } from './espora.js';
import { cleanEnvironment } from './program.js';

/** A transaction of the ledger, as it is on disk. */
export interface StoredTransaction {
  readonly seq: number;
  readonly account: number;
  readonly valor: number;
  readonly tipo: string;
  readonly descricao: string;
}

/** All transactions that a store proves durable, in order. */
export async function readTransactions(data: string): Promise<StoredTransaction[]> {
  const args = [mainPath, 'inspect', '--json', '--no-frames', '--data', data];
  const stdout = await outputOf(process.execPath, args, { env: cleanEnvironment() });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as StoredTransaction & { kind: string })
    .filter(({ kind }) => kind === 'record');
}
