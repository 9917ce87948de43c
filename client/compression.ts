/**
 * Object data between the form the application knows and the form that travels.
 *
 * @module
 */

import { hash } from "node:crypto";
import { deflateSync, inflateSync } from "node:zlib";

/** How the data of a revision travels and is stored. */
export interface StoredData {
  /** 0 for none, 1 for a zlib stream. */
  readonly compression: number;
  /** SHA-1 of `data`; all zero when there is no data, which an empty record is not. */
  readonly checksum: Uint8Array;
  readonly data: Uint8Array;
}

/** Whether and how much data is compressed: `true` is zlib at its default level. */
export type Compression = boolean | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;

const NOTHING = new Uint8Array(0);
const NO_CHECKSUM = new Uint8Array(20);
/** A deletion, or the undoing of a creation. */
export const NO_DATA: StoredData = { compression: 0, checksum: NO_CHECKSUM, data: NOTHING };

/** The SHA-1 of bytes. */
export function sha1(data: Uint8Array): Uint8Array {
  return hash("sha1", data, "buffer");
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Prepares data to be stored. It is compressed only if that makes it shorter. */
export function encodeData(data: Uint8Array | null, compression: Compression): StoredData {
  if (data === null) return NO_DATA;
  if (compression !== false && data.length > 0) {
    const compressed = deflateSync(data, {
      chunkSize: chunkSize(data.length),
      ...(compression !== true && { level: compression }),
    });
    if (compressed.length < data.length) {
      return { compression: 1, checksum: sha1(compressed), data: compressed };
    }
  }
  return { compression: 0, checksum: sha1(data), data };
}

/** Data that is ready to be stored, see `Client.prepare`. */
export class PreparedData {
  /** For `Client.prepare` only. */
  constructor(
    readonly data: Uint8Array,
    /** @internal The same as it travels. */
    readonly stored: StoredData,
  ) {}
}

/** Whether it says that there is no data. */
export function isNoData({ checksum, data }: Omit<StoredData, "compression">): boolean {
  return data.length === 0 && sameBytes(checksum, NO_CHECKSUM);
}

/** Whether the data is what the checksum was made of. */
export function isIntact({ checksum, data }: Omit<StoredData, "compression">): boolean {
  return sameBytes(checksum, sha1(data));
}

/** Bytes that zlib gives at once: a big part of its time is spent on allocating them. */
function chunkSize(expected: number): number {
  return Math.min(Math.max(expected, 1 << 10), 1 << 16);
}

/** A buffer this many times longer than the bytes of interest is not kept for them. */
const MAX_WASTE = 2;

/** Bytes worth keeping: a copy if they are a small part of their buffer. */
export function owned({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  // Of the plain type, also for what comes from Node's functions.
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  return byteLength * MAX_WASTE < buffer.byteLength ? bytes.slice() : bytes;
}

/**
 * The data as the application knows it. It never keeps much more memory alive than it has bytes.
 *
 * @throws {Error} if it is not what `compression` says.
 */
export function decodeData({ compression, data }: Omit<StoredData, "checksum">): Uint8Array {
  switch (compression) {
    case 0:
      return owned(data);
    case 1:
      return owned(inflateSync(data, { chunkSize: chunkSize(4 * data.length) }));
    default:
      throw new Error(`unknown compression ${compression}`);
  }
}
