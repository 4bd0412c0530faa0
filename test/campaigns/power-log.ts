// The log of a disk of ours, and the states that a power cut at some point of it may have left behind.
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Random } from '#espora/lab/random.js';

/** A write or a flush, in the order in which the disk was told. */
export interface LogEntry {
  readonly kind: 'write' | 'flush';
  /** CLOCK_MONOTONIC, nanoseconds. */
  readonly timeNs: bigint;
  readonly offset: number;
  readonly bytes: Buffer;
}

const headerBytes = 32;
const magic = 0x474c5750;
export const sectorBytes = 512;

/** The entries of a log. Throws if it is not one. */
export function parseLog(log: Buffer): LogEntry[] {
  const entries: LogEntry[] = [];
  for (let at = 0; at < log.length;) {
    if (at + headerBytes > log.length || log.readUInt32LE(at) !== magic) {
      throw new Error(`no entry of a disk's log at byte ${at}`);
    }
    const begin = at + headerBytes;
    const end = begin + Number(log.readBigUInt64LE(at + 24));
    if (end > log.length) throw new Error(`the disk's log ends inside the entry at byte ${at}`);
    entries.push({
      kind: log.readUInt32LE(at + 4) === 1 ? 'write' : 'flush',
      timeNs: log.readBigUInt64LE(at + 8),
      offset: Number(log.readBigUInt64LE(at + 16)),
      bytes: log.subarray(begin, end),
    });
    at = end;
  }
  return entries;
}

/** A run of bytes that reached the medium. */
export interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** A place on a disk: bytes `from` … `to` - 1, whole sectors. */
export interface Extent {
  readonly from: number;
  readonly to: number;
}

/**
 * What of the writes since the last flush survives: of each write each sector by itself, with the given
 * probability in thousandths; only what a write has of one of the places `whole` survives or not
 * together. Of a sector that was written twice any version may be the one that stays.
 */
export function survivors(
  pending: readonly LogEntry[],
  perMille: number,
  random: Random,
  whole: readonly Extent[] = [],
): readonly Piece[] {
  const pieces: Piece[] = [];
  for (const { offset, bytes } of pending) {
    let begin: number | undefined;
    const end = (at: number): void => {
      if (begin === undefined) return;
      pieces.push({ offset: offset + begin, bytes: bytes.subarray(begin, at) });
      begin = undefined;
    };
    for (let at = 0; at < bytes.length;) {
      if (random.below(1000) < perMille) begin ??= at;
      else end(at);
      const place = whole.find(({ from, to }) => from <= offset + at && offset + at < to);
      at = place === undefined ? at + sectorBytes : place.to - offset;
    }
    end(bytes.length);
  }
  return pieces;
}

/**
 * Entries before which the power goes, in ascending order. Most flushes follow a single write: half of
 * the cuts are made where more was under way, between two flushes that several writes lie between.
 */
export function chooseCuts(
  entries: readonly LogEntry[],
  count: number,
  random: Random,
): readonly number[] {
  const windows: { readonly from: number; readonly to: number }[] = [];
  let from = 0;
  for (const [index, { kind }] of entries.entries()) {
    if (kind !== 'flush') continue;
    if (index - from > 1) windows.push({ from, to: index });
    from = index + 1;
  }
  const cuts: number[] = [];
  while (cuts.length < count) {
    const window = cuts.length % 2 === 0 ? windows[random.below(windows.length)] : undefined;
    const { from: first, to: last } = window ?? { from: 0, to: entries.length - 1 };
    cuts.push(first + 1 + random.below(last - first));
  }
  return cuts.sort((a, b) => a - b);
}

/** Writes pieces into an image. */
export function applyPieces(image: string, pieces: Iterable<Piece>): void {
  const file = openSync(image, 'r+');
  try {
    for (const { offset, bytes } of pieces) writeSync(file, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(file);
  }
}

/** Index of the last flush before entry `cut`; -1 if there is none. */
export function lastFlushBefore(entries: readonly LogEntry[], cut: number): number {
  for (let index = cut - 1; index >= 0; index--) {
    if (entries[index]!.kind === 'flush') return index;
  }
  return -1;
}
