// The order audit: does every answer leave after the flush of what it reveals? A pure function over the
// events of a trace of one life of a database that began with an empty directory.
//
// What an answer reveals is found out from outside. A 200 reveals its own record. A statement reveals
// every transaction that it lists, and the balance behind the newest. A refusal for lack of limit was
// computed from some state of the account; it is right if one of the states that the database can have
// used explains it and was durable: the oldest such state is the one that it gives away.
import { defaultAccounts } from '#espora/lab/accounts.js';
import { framesIn } from './frames.js';
import type { FramedTransaction } from './frames.js';
import { cutMessages, statusOf } from './http-framing.js';
import type { Message } from './http-framing.js';
import type { TraceEvent } from './trace-events.js';

/** What was audited, and what was wrong. */
export interface AuditReport {
  /** In words; empty if every answer was in order. */
  readonly findings: readonly string[];
  readonly answers: number;
  readonly acknowledged: number;
  readonly refusals: number;
  readonly statements: number;
  /** Of those: came when the state that they show was not durable yet, so that they had to wait. */
  readonly refusalsThatWaited: number;
  readonly statementsThatWaited: number;
  readonly records: number;
  readonly flushes: number;
  readonly segments: number;
}

interface Flush {
  readonly begin: number;
  readonly end: number;
}

/** A file by whatever name: what was written to it and when it was flushed. */
class TracedFile {
  path: string;
  readonly flushes: Flush[] = [];
  /** When the rename that gave it its present name had returned. */
  renamedEnd: number | undefined;
  /** When that name was durable. */
  publishedEnd: number | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** At `end` the rename had returned; nothing has made the new name durable yet. */
  rename(path: string, end: number): void {
    this.path = path;
    this.renamedEnd = end;
    this.publishedEnd = undefined;
  }
}

/** A transaction with all that the trace tells about it. */
interface TracedRecord extends FramedTransaction {
  readonly file: TracedFile;
  readonly writeEnd: number;
  /** When everything that makes it durable had returned; Infinity: never. */
  durableEnd: number;
}

interface Request {
  readonly message: Message;
  readonly begin: number;
  readonly end: number;
}

interface Answered {
  readonly request: Request;
  readonly answer: Message;
  /** Position of the call that let its first byte go. */
  readonly leaves: number;
}

/** Bytes of one direction of a connection, with the calls that they came by. */
class Stream {
  readonly #parts: Buffer[] = [];
  readonly #calls: { upTo: number; begin: number; end: number }[] = [];
  #length = 0;

  add(bytes: Buffer, begin: number, end: number): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
    this.#calls.push({ upTo: this.#length, begin, end });
  }

  messages(): Message[] {
    return cutMessages(Buffer.concat(this.#parts));
  }

  /** The call that the byte at `offset` came by. Asked in ascending order of offsets. */
  callOf(offset: number): { begin: number; end: number } {
    return this.#calls.find(({ upTo }) => offset < upTo)!;
  }
}

interface TracedConnection {
  readonly received: Stream;
  readonly sent: Stream;
}

// More of the same adds nothing for whoever reads it.
const findingsMax = 20;

/** Audits every answer in a trace. */
export function audit(
  events: readonly TraceEvent[],
  accounts: readonly { readonly id: number; readonly limit: number }[] = defaultAccounts,
): AuditReport {
  const findings: string[] = [];
  const add = (text: string): void => {
    if (findings.length < findingsMax) findings.push(text);
  };
  const disk = traceDisk(events, add);
  const answers = traceAnswers(events, add);
  const books = new Books(disk.records, answers, accounts, disk.storePublishedEnd, add);
  for (const answered of answers) books.audit(answered);
  return { findings, ...books.counts, ...disk.counts, answers: answers.length };
}

// --- The disk's side -----------------------------------------------------------------------------

interface Disk {
  readonly records: readonly TracedRecord[];
  /** When the store's own file was durable; undefined if the trace does not show how it was made. */
  readonly storePublishedEnd: number | undefined;
  readonly counts: Pick<AuditReport, 'records' | 'flushes' | 'segments'>;
}

function traceDisk(events: readonly TraceEvent[], add: (text: string) => void): Disk {
  const open = new Map<number, TracedFile>();
  const byPath = new Map<string, TracedFile>();
  const unpublished = new Set<TracedFile>();
  const records: TracedRecord[] = [];
  const counts = { flushes: 0, segments: 0 };
  let store: TracedFile | undefined;
  const pathOf = (directory: number | undefined, name: string): string => {
    const base = directory === undefined ? undefined : open.get(directory)?.path;
    return base === undefined || name.startsWith('/') ? name : `${base}/${name}`;
  };
  for (const event of events) {
    switch (event.kind) {
      case 'open': {
        const path = pathOf(event.directory, event.name);
        const file = (event.creates ? undefined : byPath.get(path)) ?? new TracedFile(path);
        byPath.set(path, file);
        open.set(event.fd, file);
        break;
      }
      case 'close':
        open.delete(event.fd);
        break;
      case 'write': {
        const file = open.get(event.fd);
        const { transactions, cut } = framesIn(event.bytes, event.offset);
        if (file === undefined) {
          if (transactions.length > 0)
            add('a frame was written to a file that is not in the trace');
          break;
        }
        if (cut !== undefined) add(`the trace or a write was cut: ${cut}`);
        for (const each of transactions) {
          records.push({ ...each, file, writeEnd: event.end, durableEnd: Infinity });
        }
        break;
      }
      case 'flush': {
        const file = open.get(event.fd);
        if (file === undefined || !event.succeeded) break;
        counts.flushes++;
        file.flushes.push(event);
        for (const each of publishedBy(file, event, unpublished)) unpublished.delete(each);
        break;
      }
      case 'rename': {
        const from = pathOf(event.directory, event.from);
        const to = pathOf(event.directory, event.to);
        const file = byPath.get(from);
        if (file === undefined || !byPath.delete(from)) break;
        byPath.set(to, file);
        file.rename(to, event.end);
        unpublished.add(file);
        if (to.endsWith('.seg')) counts.segments++;
        if (to.endsWith('/STORE')) store = file;
        break;
      }
      case 'accept':
      case 'receive':
      case 'send':
        break;
    }
  }
  for (const record of records) record.durableEnd = durableEnd(record);
  return {
    records,
    storePublishedEnd: store === undefined ? undefined : (store.publishedEnd ?? Infinity),
    counts: { records: records.length, ...counts },
  };
}

/** The flush of a directory makes the names durable that files in it got before. */
function publishedBy(
  directory: TracedFile,
  flush: Flush,
  unpublished: ReadonlySet<TracedFile>,
): TracedFile[] {
  const published = [...unpublished].filter(
    (file) => directoryOf(file.path) === directory.path && file.renamedEnd! < flush.begin,
  );
  for (const file of published) file.publishedEnd = flush.end;
  return published;
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

/** The flush must begin after the write has returned; the file's name must be durable too. */
function durableEnd({ file, writeEnd }: TracedRecord): number {
  const flush = file.flushes.find(({ begin }) => begin > writeEnd);
  return Math.max(flush?.end ?? Infinity, file.publishedEnd ?? Infinity);
}

// --- The network's side --------------------------------------------------------------------------

function traceAnswers(events: readonly TraceEvent[], add: (text: string) => void): Answered[] {
  const connections: TracedConnection[] = [];
  const open = new Map<number, TracedConnection>();
  for (const event of events) {
    if (event.kind === 'accept') {
      const connection = { received: new Stream(), sent: new Stream() };
      connections.push(connection);
      open.set(event.fd, connection);
    } else if (event.kind === 'close') {
      open.delete(event.fd);
    } else if (event.kind === 'receive') {
      open.get(event.fd)?.received.add(event.bytes, event.begin, event.end);
    } else if (event.kind === 'send') {
      open.get(event.fd)?.sent.add(event.bytes, event.begin, event.end);
    }
  }
  return connections.flatMap(({ received, sent }) => {
    const requests = received.messages();
    return sent.messages().flatMap((answer, index) => {
      const message = requests[index];
      const leaves = sent.callOf(answer.begin).begin;
      const came = message === undefined ? undefined : received.callOf(message.end - 1);
      if (message === undefined || came === undefined || came.end > leaves) {
        add(`an answer before its request: ${answer.first}`);
        return [];
      }
      return [{ request: { message, ...came }, answer, leaves }];
    });
  });
}

// --- Answers against records ---------------------------------------------------------------------

type Counts = Omit<AuditReport, 'findings' | 'answers' | 'records' | 'flushes' | 'segments'>;

class Books {
  readonly counts: { -readonly [Name in keyof Counts]: number } = {
    acknowledged: 0,
    refusals: 0,
    statements: 0,
    refusalsThatWaited: 0,
    statementsThatWaited: 0,
  };
  readonly #add: (text: string) => void;
  readonly #limits: ReadonlyMap<number, number>;
  readonly #storePublishedEnd: number | undefined;
  readonly #byDescription = new Map<string, TracedRecord>();
  /** Records of an account in the order of their sequences. */
  readonly #histories = new Map<number, TracedRecord[]>();
  /** When the request of each transaction had been received. */
  readonly #requested = new Map<string, number>();

  constructor(
    records: readonly TracedRecord[],
    answers: readonly Answered[],
    accounts: readonly { readonly id: number; readonly limit: number }[],
    storePublishedEnd: number | undefined,
    add: (text: string) => void,
  ) {
    this.#add = add;
    this.#limits = new Map(accounts.map(({ id, limit }) => [id, limit]));
    this.#storePublishedEnd = storePublishedEnd;
    for (const record of records.toSorted((a, b) => a.seq - b.seq)) {
      const known = this.#byDescription.get(record.descricao);
      if (known !== undefined) {
        // Copies are fine: the record is durable as soon as one of them is.
        known.durableEnd = Math.min(known.durableEnd, record.durableEnd);
        if (known.seq !== record.seq) {
          add(`${record.descricao} was written as sequence ${known.seq} and as ${record.seq}`);
        }
        continue;
      }
      this.#byDescription.set(record.descricao, record);
      const history = this.#histories.get(record.account) ?? [];
      history.push(record);
      this.#histories.set(record.account, history);
    }
    for (const { request } of answers) {
      if (!request.message.first.startsWith('POST ')) continue;
      const { descricao } = JSON.parse(request.message.body) as { descricao: string };
      this.#requested.set(descricao, request.end);
    }
  }

  audit(answered: Answered): void {
    const { request, answer, leaves } = answered;
    if (this.#storePublishedEnd !== undefined && this.#storePublishedEnd >= leaves) {
      this.#add(`${answer.first} left before the store itself was durable`);
    }
    const [, method, id] = /^(GET|POST) \/clientes\/(\d+)\//.exec(request.message.first) ?? [];
    const status = statusOf(answer);
    const account = Number(id);
    if (method === 'POST' && status === 200) this.#auditAcknowledgement(answered);
    if (method === 'POST' && status === 422) this.#auditRefusal(account, answered);
    if (method === 'GET' && status === 200) this.#auditStatement(account, answered);
  }

  #auditAcknowledgement({ request, answer, leaves }: Answered): void {
    this.counts.acknowledged++;
    const asked = JSON.parse(request.message.body) as FramedTransaction;
    const record = this.#byDescription.get(asked.descricao);
    if (record === undefined) {
      this.#add(`${asked.descricao} was answered with 200 and never written`);
      return;
    }
    if (record.valor !== asked.valor || record.tipo !== asked.tipo) {
      this.#add(`${asked.descricao} was written with other values than it was sent with`);
    }
    const { saldo } = JSON.parse(answer.body) as { saldo: number };
    if (saldo !== record.saldo) {
      this.#add(`${asked.descricao}: answered balance ${saldo}, written ${record.saldo}`);
    }
    this.#demandDurable(record, leaves, 'its 200');
  }

  #auditStatement(account: number, { request, answer, leaves }: Answered): void {
    this.counts.statements++;
    const { saldo, ultimas_transacoes: listed } = JSON.parse(answer.body) as {
      saldo: { total: number };
      ultimas_transacoes: { descricao: string }[];
    };
    const what = `a statement of account ${account}`;
    const records = listed.map(({ descricao }) => this.#byDescription.get(descricao));
    for (const [index, record] of records.entries()) {
      if (record === undefined) {
        this.#add(`${what} shows ${listed[index]!.descricao}, which was never written`);
      } else {
        this.#demandDurable(record, leaves, what);
      }
    }
    const [newest] = records;
    if ((newest?.saldo ?? 0) !== saldo.total) {
      this.#add(
        `${what} shows ${saldo.total}, behind its newest transaction it is ${newest?.saldo}`,
      );
    }
    const oldest = this.#oldestState(account, request.begin);
    const history = this.#histories.get(account) ?? [];
    const shown = newest === undefined ? 0 : history.indexOf(newest) + 1;
    if (shown < oldest) this.#add(`${what} lacks what was durable when it was asked for`);
    if (newest !== undefined && newest.durableEnd > request.begin)
      this.counts.statementsThatWaited++;
  }

  #auditRefusal(account: number, { request, answer, leaves }: Answered): void {
    const { valor, descricao, tipo } = JSON.parse(request.message.body) as FramedTransaction;
    if ((JSON.parse(answer.body) as { erro: string }).erro !== 'limite_insuficiente') return;
    this.counts.refusals++;
    if (this.#byDescription.has(descricao)) this.#add(`${descricao} was refused and written`);
    const history = this.#histories.get(account) ?? [];
    const limit = this.#limits.get(account) ?? 0;
    const oldest = this.#oldestState(account, request.begin);
    for (let state = oldest; state <= history.length; state++) {
      const record = history[state - 1];
      if (record !== undefined && (this.#requested.get(record.descricao) ?? 0) > leaves) break;
      if (tipo !== 'd' || (record?.saldo ?? 0) - valor >= -limit) continue;
      if (state > oldest) this.counts.refusalsThatWaited++;
      if (record !== undefined) {
        this.#demandDurable(record, leaves, `the refusal of ${descricao}, which only it explains,`);
      }
      return;
    }
    this.#add(`no state of account ${account} explains the refusal of ${descricao}`);
  }

  /** How many records of an account were durable at a position: no later request sees fewer. */
  #oldestState(account: number, position: number): number {
    const history = this.#histories.get(account) ?? [];
    return history.findLastIndex(({ durableEnd: end }) => end < position) + 1;
  }

  #demandDurable(record: TracedRecord, leaves: number, what: string): void {
    if (record.durableEnd < leaves) return;
    const { file, writeEnd, descricao, seq } = record;
    const flush = file.flushes.find(({ begin }) => begin > writeEnd);
    const why =
      writeEnd >= leaves
        ? 'before it was written'
        : flush === undefined || flush.end >= leaves
          ? 'before a flush that began after its write had returned'
          : 'before the name of its file was durable';
    this.#add(`${descricao} (seq ${seq}): ${what} left ${why}`);
  }
}
