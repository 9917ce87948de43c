/**
 * Lists of oids as they are in blobs: 8 bytes each, big-endian.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Oid, toOid } from "../../protocol/ids.ts";

/** Concatenates oids. */
export function packOids(oids: readonly Oid[]): Uint8Array {
  const bytes = new Uint8Array(oids.length * 8);
  const view = new DataView(bytes.buffer);
  oids.forEach((oid, i) => view.setBigUint64(i * 8, oid));
  return bytes;
}

/** The inverse of {@linkcode packOids}. */
export function unpackOids(bytes: Uint8Array): Oid[] {
  assert(bytes.byteLength % 8 === 0, "a list of oids must be a multiple of 8 bytes");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / 8 }, (_, i) => toOid(view.getBigUint64(i * 8)));
}
