// Looks into a store as `espora verify` and `espora inspect` do, without a process for each look, and
// compares it with what its clients were told.
import { loadNative } from '#espora/addon.js';
import type { NativeVerifyReport } from '#espora/native.js';
import { demand } from './campaign.js';
import { compare, History } from './history.js';
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

/** One store with all that is known about it. */
export class StoreUnderTest {
  readonly data: string;
  readonly history = new History();
  #stored: readonly Stored[] = [];

  constructor(data: string) {
    this.data = data;
  }

  /** With a service that has recovered running on it. */
  async check(where: string): Promise<void> {
    const stored = await readStored(this.data);
    demand(where, compare(this.history, stored, { earlier: this.#stored }));
    this.#stored = stored;
  }

  /** As a kill left it: nobody has it open. */
  async verify(where: string): Promise<void> {
    const damage = await damageIn(this.data).catch((error: unknown) => {
      // It may have been killed while it made the store, which must not look like damage.
      const none = (error as { code?: string }).code === 'ERR_ESPORA_NOT_FOUND';
      return none && this.history.count('acknowledged') === 0 ? [] : [`verify: ${String(error)}`];
    });
    demand(where, damage);
  }

  get stored(): readonly Stored[] {
    return this.#stored;
  }
}
