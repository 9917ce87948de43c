/**
 * The checksums of data.
 *
 * @module
 */

import { hash } from "node:crypto";

/** Whether a checksum is the SHA-1 of some data. */
export function isIntact(
  { data, checksum }: { readonly data: Uint8Array; readonly checksum: Uint8Array },
): boolean {
  const sha1 = hash("sha1", data, "buffer");
  for (let i = 0; i < checksum.length; i++) if (sha1[i] !== checksum[i]) return false;
  return true;
}

/** Whether what is sent as data means that there is none: a deletion or an undone creation. */
export function isNoData(
  { data, checksum }: { readonly data: Uint8Array; readonly checksum: Uint8Array },
): boolean {
  return data.length === 0 && checksum.every((byte) => byte === 0);
}
