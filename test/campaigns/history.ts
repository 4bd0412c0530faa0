// What clients were told, and whether a store agrees with it. Knows nothing of processes or disks.
import { defaultAccounts } from '#espora/lab/accounts.js';

/** What became of a transaction, as its client saw it. */
export type Outcome =
  | 'acknowledged' // 200
  | 'refused' // a definite refusal: nothing was changed
  | 'in doubt'; // no answer, or 503

/** One transaction that was sent. */
export interface Sent {
  readonly id: number;
  readonly tipo: 'c' | 'd';
  readonly valor: number;
  /** Unique in its history. */
  readonly descricao: string;
  /** Which connection it was sent on; one never comes back. */
  readonly connection: number;
  /** CLOCK_MONOTONIC, nanoseconds: before its first byte was sent, after its answer was read. */
  readonly sentNs: bigint;
  answeredNs?: bigint;
  outcome: Outcome;
  status?: number;
  /** As a 200 gave it. */
  saldo?: number;
}

/** A statement as it was answered. */
export interface SeenStatement {
  readonly id: number;
  readonly total: number;
  readonly descriptions: readonly string[];
  readonly answeredNs: bigint;
}

/** A transaction as it lies in the store. */
export interface Stored {
  readonly seq: number;
  readonly account: number;
  readonly valor: number;
  readonly tipo: string;
  readonly descricao: string;
  readonly saldo: number;
  readonly realizadaEmUs: number;
}

/** Everything that was sent to one store, through all its lives. */
export class History {
  readonly sent: Sent[] = [];
  readonly statements: SeenStatement[] = [];
  #connections = 0;

  /** A number for a new connection. */
  connection(): number {
    return ++this.#connections;
  }

  /** A description that was not used before: at most 10 characters. */
  description(): string {
    return `t${this.sent.length.toString(36)}`;
  }

  count(outcome: Outcome): number {
    return this.sent.reduce((sum, one) => sum + Number(one.outcome === outcome), 0);
  }
}

/** What of a history must be in the store. */
export interface Demands {
  /** Only what was answered before this time (CLOCK_MONOTONIC, nanoseconds) must be there; absent: all. */
  readonly answeredBefore?: bigint;
  /** The store as it was found earlier: it must begin with that. */
  readonly earlier?: readonly Stored[];
  readonly accounts?: readonly { readonly id: number; readonly limit: number }[];
}

// More of the same adds nothing for whoever reads it.
const findingsMax = 20;

/**
 * Everything that is wrong with what lies in a store, in words; empty if it is right: each acknowledged
 * transaction once, nothing refused, nothing invented, nothing twice, in an order that agrees with what
 * each client saw, every balance right and within its limit.
 */
export function compare(
  history: History,
  stored: readonly Stored[],
  demands: Demands = {},
): string[] {
  const findings: string[] = [];
  const add = (text: string): void => {
    if (findings.length < findingsMax) findings.push(text);
  };
  const limits = new Map((demands.accounts ?? defaultAccounts).map(({ id, limit }) => [id, limit]));
  const sentBy = new Map(history.sent.map((one) => [one.descricao, one]));
  const seqOf = new Map<string, number>();
  const balances = new Map<number, number>();
  let lastTime = 0;

  for (const [index, one] of stored.entries()) {
    const what = `${one.descricao} (seq ${one.seq})`;
    if (one.seq !== index + 1) add(`${what}: the sequence should be ${index + 1}`);
    if (seqOf.has(one.descricao)) add(`${what} is there twice`);
    seqOf.set(one.descricao, one.seq);
    const sent = sentBy.get(one.descricao);
    if (sent === undefined) {
      add(`${what} was never sent`);
    } else if (sent.id !== one.account || sent.valor !== one.valor || sent.tipo !== one.tipo) {
      add(
        `${what} differs from what was sent: ${JSON.stringify({ sent: shown(sent), stored: one })}`,
      );
    } else if (sent.outcome === 'refused') {
      add(`${what} was refused (${sent.status}) and is there`);
    }
    const change = one.tipo === 'c' ? one.valor : -one.valor;
    const balance = (balances.get(one.account) ?? 0) + change;
    balances.set(one.account, balance);
    if (one.saldo !== balance) add(`${what}: balance ${one.saldo}, should be ${balance}`);
    if (balance < -(limits.get(one.account) ?? 0))
      add(`${what}: balance ${balance} breaks the limit`);
    if (sent?.saldo !== undefined && sent.saldo !== balance) {
      add(`${what}: balance ${balance}, the client was told ${sent.saldo}`);
    }
    if (one.realizadaEmUs < lastTime) add(`${what}: its time is before that of the one before`);
    lastTime = Math.max(lastTime, one.realizadaEmUs);
  }

  const { answeredBefore, earlier = [] } = demands;
  const demanded = (answeredNs: bigint | undefined): boolean =>
    answeredBefore === undefined || (answeredNs !== undefined && answeredNs < answeredBefore);
  for (const one of history.sent) {
    if (one.outcome !== 'acknowledged' || !demanded(one.answeredNs)) continue;
    if (!seqOf.has(one.descricao)) add(`${one.descricao} was acknowledged and is not there`);
  }
  for (const { id, total, descriptions, answeredNs } of history.statements) {
    if (!demanded(answeredNs)) continue;
    for (const each of descriptions) {
      if (!seqOf.has(each)) add(`${each} was shown in a statement of ${id} and is not there`);
    }
    const [newest] = descriptions;
    const right = newest === undefined ? 0 : stored[(seqOf.get(newest) ?? 0) - 1]?.saldo;
    if (right !== undefined && right !== total) {
      add(`a statement of ${id} showed ${total}, behind ${newest ?? 'nothing'} it was ${right}`);
    }
  }
  for (const [index, one] of earlier.entries()) {
    const now = stored[index];
    if (JSON.stringify(now) !== JSON.stringify(one)) {
      add(`seq ${one.seq} was ${JSON.stringify(one)} and is ${JSON.stringify(now)} now`);
    }
  }
  checkOrder(history.sent, seqOf, add);
  return findings;
}

/**
 * Two transactions of one connection are stored in the order in which they were sent; one that was
 * answered before another was sent, on whatever connection, is stored before it.
 */
function checkOrder(
  sent: readonly Sent[],
  seqOf: ReadonlyMap<string, number>,
  add: (text: string) => void,
): void {
  const last = new Map<number, number>();
  const stored = sent.filter(({ descricao }) => seqOf.has(descricao));
  for (const { connection, descricao } of stored) {
    const seq = seqOf.get(descricao)!;
    if (seq < (last.get(connection) ?? 0)) {
      add(`${descricao} (seq ${seq}) is stored before what its connection sent earlier`);
    }
    last.set(connection, seq);
  }
  const answered = stored
    .filter(({ outcome }) => outcome === 'acknowledged')
    .toSorted((a, b) => (a.answeredNs! < b.answeredNs! ? -1 : 1));
  const bySending = stored.toSorted((a, b) => (a.sentNs < b.sentNs ? -1 : 1));
  let next = 0;
  let highest = 0;
  for (const { descricao, sentNs } of bySending) {
    for (; next < answered.length && answered[next]!.answeredNs! < sentNs; next++) {
      highest = Math.max(highest, seqOf.get(answered[next]!.descricao)!);
    }
    const seq = seqOf.get(descricao)!;
    if (seq < highest) {
      add(`${descricao} (seq ${seq}) was sent after seq ${highest} was answered`);
    }
  }
}

function shown({ id, tipo, valor, outcome }: Sent): object {
  return { id, tipo, valor, outcome };
}
