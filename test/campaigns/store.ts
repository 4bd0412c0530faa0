// Looks into a store as `espora verify` and `espora inspect` do, without a process for each look.
import { loadNative } from '#espora/native.js';
import type { NativeVerifyReport } from '#espora/native.js';
import type { Stored } from './history.js';

/** All transactions that a store proves durable, in order. Works beside a running service. */
export async function readStored(data: string): Promise<Stored[]> {
  const stored: Stored[] = [];
  await loadNative().inspectStore(data, { frames: false, records: true }, (items) => {
    for (const item of items) {
      if (item.kind === 'finding' && item['severity'] === 'damage') {
        throw new Error(`damage: ${String(item['text'])}`);
      }
      if (item.kind !== 'record') continue;
      const { seq, account, valor, tipo, descricao, saldo, realizadaEmUs } =
        item as unknown as Stored;
      stored.push({ seq, account, valor, tipo, descricao, saldo, realizadaEmUs });
    }
  });
  return stored;
}

/** What `espora verify` finds wrong, in words. */
export async function damageIn(data: string): Promise<string[]> {
  const report: NativeVerifyReport = await loadNative().verifyStore(data);
  return report.findings
    .filter(({ severity }) => severity === 'damage')
    .map(({ text }) => `verify: ${text}`);
}
