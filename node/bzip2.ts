/**
 * A bzip2 compressor for small texts.
 *
 * Log databases hold a bzip2 text, a format that Deno can't write. This one makes valid files by the
 * simplest means: a single block, sorted naively, with a fixed code instead of Huffman's.
 *
 * @module
 */

/** The most a block of a level 9 file can hold, after run-length encoding. */
const MAX_BLOCK = 900_000 - 20;
/** How many symbols share a choice of code table. */
const GROUP = 50;

/**
 * Compresses bytes.
 *
 * @throws {RangeError} if they don't fit in one block.
 */
export function bzip2(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new BitWriter();
  for (const byte of new TextEncoder().encode("BZh9")) out.write(8, byte);
  let crc = 0;
  if (data.length > 0) {
    // The checksum of a file combines those of its blocks; that of a single one is the same.
    crc = checksum(data);
    writeBlock(out, encodeRuns(data), crc);
  }
  out.write(24, 0x177245);
  out.write(24, 0x385090);
  out.write(32, crc);
  return out.finish();
}

function writeBlock(out: BitWriter, block: Uint8Array, crc: number): void {
  if (block.length > MAX_BLOCK) throw new RangeError("too many bytes for one bzip2 block");
  const { last, origin } = sortRotations(block);
  const used = [...new Set(block)].sort((a, b) => a - b);
  const symbols = moveToFront(last, used);

  out.write(24, 0x314159);
  out.write(24, 0x265359);
  out.write(32, crc);
  out.write(1, 0);
  out.write(24, origin);
  writeUsed(out, used);

  // At least two tables are required: two times the same, the second one never selected.
  const lengths = codeLengths(used.length + 2);
  const selectors = Math.ceil(symbols.length / GROUP);
  out.write(3, 2);
  out.write(15, selectors);
  for (let i = 0; i < selectors; i++) out.write(1, 0);
  for (let table = 0; table < 2; table++) writeLengths(out, lengths);
  const codes = canonicalCodes(lengths);
  for (const symbol of symbols) out.write(lengths[symbol] ?? 0, codes[symbol] ?? 0);
}

/** Four equal bytes are followed by the number of times that the same one comes again. */
function encodeRuns(data: Uint8Array): Uint8Array {
  const out: number[] = [];
  for (let i = 0; i < data.length;) {
    const byte = data[i] ?? 0;
    let length = 1;
    while (length < 259 && data[i + length] === byte) length++;
    for (let j = 0; j < Math.min(length, 4); j++) out.push(byte);
    if (length >= 4) out.push(length - 4);
    i += length;
  }
  return Uint8Array.from(out);
}

/** The last bytes of the sorted rotations (Burrows-Wheeler), and where the block itself is in them. */
function sortRotations(block: Uint8Array): { last: Uint8Array; origin: number } {
  const { length } = block;
  const compare = (a: number, b: number): number => {
    for (let i = 0; i < length; i++) {
      const difference = (block[(a + i) % length] ?? 0) - (block[(b + i) % length] ?? 0);
      if (difference !== 0) return difference;
    }
    return 0;
  };
  const starts = Array.from(block, (_, i) => i).sort(compare);
  const last = Uint8Array.from(starts, (start) => block[(start + length - 1) % length] ?? 0);
  return { last, origin: starts.indexOf(0) };
}

/** Ranks in the order of last use; runs of rank 0 are numbers whose digits are the symbols 0 and 1. */
function moveToFront(bytes: Uint8Array, used: readonly number[]): number[] {
  const recent = [...used];
  const symbols: number[] = [];
  let zeros = 0;
  const endRun = () => {
    for (; zeros > 0; zeros = (zeros - 1) >> 1) symbols.push(zeros & 1 ? 0 : 1);
  };
  for (const byte of bytes) {
    const rank = recent.indexOf(byte);
    if (rank === 0) {
      zeros++;
      continue;
    }
    endRun();
    recent.splice(rank, 1);
    recent.unshift(byte);
    symbols.push(rank + 1);
  }
  endRun();
  symbols.push(used.length + 1);
  return symbols;
}

function writeUsed(out: BitWriter, used: readonly number[]): void {
  const rows = Array.from({ length: 16 }, (_, row) =>
    used.filter((byte) => byte >> 4 === row)
      .reduce((bits, byte) => bits | 0x8000 >> (byte & 15), 0));
  out.write(16, rows.reduce((bits, row, i) => row === 0 ? bits : bits | 0x8000 >> i, 0));
  for (const row of rows) if (row !== 0) out.write(16, row);
}

/** A complete code: as many short words as possible for the first symbols, which are the frequent ones. */
function codeLengths(symbols: number): number[] {
  const long = Math.ceil(Math.log2(symbols));
  const short = 2 ** long - symbols;
  return Array.from({ length: symbols }, (_, i) => i < short ? long - 1 : long);
}

/** Words are numbered by length, then by symbol; here symbols are sorted by length already. */
function canonicalCodes(lengths: readonly number[]): number[] {
  let code = 0;
  let previous = lengths[0] ?? 0;
  return lengths.map((length) => {
    code <<= length - previous;
    previous = length;
    return code++;
  });
}

function writeLengths(out: BitWriter, lengths: readonly number[]): void {
  let current = lengths[0] ?? 0;
  out.write(5, current);
  for (const length of lengths) {
    for (; current < length; current++) out.write(2, 0b10);
    out.write(1, 0);
  }
}

/** CRC-32 with the most significant bit first. */
function checksum(data: Uint8Array): number {
  let crc = -1;
  for (const byte of data) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = crc << 1 ^ (crc < 0 ? 0x04c11db7 : 0);
  }
  return ~crc >>> 0;
}

class BitWriter {
  readonly #bytes: number[] = [];
  #byte = 0;
  #used = 0;

  write(count: number, value: number): void {
    for (let bit = count - 1; bit >= 0; bit--) {
      this.#byte = this.#byte << 1 | value >>> bit & 1;
      if (++this.#used < 8) continue;
      this.#bytes.push(this.#byte);
      this.#byte = this.#used = 0;
    }
  }

  finish(): Uint8Array<ArrayBuffer> {
    if (this.#used > 0) this.write(8 - this.#used, 0);
    return Uint8Array.from(this.#bytes);
  }
}
