// CRC-32C in plain JavaScript: eight bytes a step through eight tables (slicing by 8), which live in
// one Int32Array because V8 keeps the base of one array in a register and not of eight.

const polynomial = 0x82f63b78; // Castagnoli, reflected

/** What byte b does to the checksum k bytes later is at `tables[k * 256 + b]`. */
const tables = new Int32Array(8 * 256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) !== 0 ? polynomial : 0);
  tables[byte] = crc;
}
for (let byte = 0; byte < 256; byte++) {
  for (let k = 1; k < 8; k++) {
    const before = tables[(k - 1) * 256 + byte]!;
    tables[k * 256 + byte] = (before >>> 8) ^ tables[before & 0xff]!;
  }
}

/** The checksum of `bytes` behind whatever `seed` is the checksum of: an unsigned number. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc =
      tables[1792 | ((crc ^ bytes[at]!) & 0xff)]! ^
      tables[1536 | (((crc >>> 8) ^ bytes[at + 1]!) & 0xff)]! ^
      tables[1280 | (((crc >>> 16) ^ bytes[at + 2]!) & 0xff)]! ^
      tables[1024 | ((crc >>> 24) ^ bytes[at + 3]!)]! ^
      tables[768 | bytes[at + 4]!]! ^
      tables[512 | bytes[at + 5]!]! ^
      tables[256 | bytes[at + 6]!]! ^
      tables[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ tables[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}
