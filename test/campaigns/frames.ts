// Frames as they are written, decoded from the bytes alone: a reader of FORMAT.md that shares no code
// with the store. It checks no checksums: `espora verify` does.

/** A transaction in a frame. */
export interface FramedTransaction {
  readonly seq: number;
  readonly account: number;
  readonly tipo: string;
  readonly valor: number;
  readonly saldo: number;
  readonly descricao: string;
}

/** What a write to a segment holds. */
export interface WrittenFrames {
  readonly transactions: readonly FramedTransaction[];
  /** In words, where a frame starts and its end is not among the bytes. */
  readonly cut: string | undefined;
}

const blockBytes = 4096;
const frameHeaderBytes = 64;
const recordHeaderBytes = 8;
const batchType = 1;
const entryType = 1;
const entryFixedBytes = 32;

/** The frames in `bytes`, which were written at `offset` of a file. */
export function framesIn(bytes: Buffer, offset: number): WrittenFrames {
  const transactions: FramedTransaction[] = [];
  for (let at = 0; at + frameHeaderBytes <= bytes.length;) {
    const isFrame =
      bytes.toString('latin1', at, at + 4) === 'EFRM' &&
      bytes.readUInt32LE(at + 16) * blockBytes === offset + at;
    if (!isFrame) {
      at += blockBytes;
      continue;
    }
    const payloadBytes = bytes.readUInt32LE(at + 52);
    const begin = at + frameHeaderBytes;
    if (begin + payloadBytes > bytes.length) {
      const cut = `${bytes.length - begin} of ${payloadBytes} bytes of a frame at ${offset + at}`;
      return { transactions, cut };
    }
    if (bytes.readUInt16LE(at + 8) === batchType) {
      const firstSeq = Number(bytes.readBigUInt64LE(at + 24));
      transactions.push(...recordsIn(bytes.subarray(begin, begin + payloadBytes), firstSeq));
    }
    at += Math.ceil((frameHeaderBytes + payloadBytes) / blockBytes) * blockBytes;
  }
  return { transactions, cut: undefined };
}

function recordsIn(payload: Buffer, firstSeq: number): FramedTransaction[] {
  const transactions: FramedTransaction[] = [];
  let seq = firstSeq;
  for (let at = 0; at + recordHeaderBytes <= payload.length; seq++) {
    const length = payload.readUInt32LE(at);
    const type = payload.readUInt16LE(at + 4);
    const entry = payload.subarray(at + recordHeaderBytes, at + recordHeaderBytes + length);
    if (type === entryType) transactions.push(entryOf(entry, seq));
    at += recordHeaderBytes + Math.ceil(length / 8) * 8;
  }
  return transactions;
}

function entryOf(entry: Buffer, seq: number): FramedTransaction {
  return {
    seq,
    account: entry.readUInt32LE(0),
    tipo: String.fromCharCode(entry[4]!),
    valor: Number(entry.readBigInt64LE(8)),
    saldo: Number(entry.readBigInt64LE(16)),
    descricao: entry.toString('utf8', entryFixedBytes, entryFixedBytes + entry[5]!),
  };
}
