/**
 * Checks of what applications pass: back-ends store signed 64-bit numbers, and a wrong id must not
 * get as far as a storage node.
 *
 * @module
 */

import { MAX_OID, MAX_TID, type Oid, type Tid } from "../protocol/ids.ts";

/** @throws {RangeError} if it is not an oid that can be stored. */
export function checkOid(oid: Oid): void {
  if (typeof oid === "bigint" && oid >= 0n && oid <= MAX_OID) return;
  throw new RangeError(`oid must be a bigint from 0 to 2^63-1, not ${oid}`);
}

/** @throws {RangeError} if it is not a tid that can be stored. */
export function checkTid(name: string, tid: Tid): void {
  if (typeof tid === "bigint" && tid >= 0n && tid <= MAX_TID) return;
  throw new RangeError(`${name} must be a bigint from 0 to 2^63-1, not ${tid}`);
}
