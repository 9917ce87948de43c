/**
 * What one cell has and another has not, in the part of their sorted contents that both have listed.
 *
 * @module
 */

import { type Oid, type Tid, toOid, toTid } from "../../protocol/ids.ts";
import type { RecordId } from "../database/mod.ts";

/** Position in the order of a cell: a tid, or a record as `tid << 64 | oid`. */
export type Key = bigint;

const OID_BITS = 64n;

/** The key of a record. */
export function recordKey({ tid, oid }: RecordId): Key {
  return tid << OID_BITS | oid;
}

/** The record of a key. */
export function recordOf(key: Key): RecordId {
  return { tid: toTid(key >> OID_BITS), oid: toOid(BigInt.asUintN(64, key)) };
}

/** The key of the last record that a tid may have. */
export function lastKey(tid: Tid): Key {
  return (BigInt(tid) + 1n << OID_BITS) - 1n;
}

/** The keys of records grouped by tid, as they are sent. */
export function keysOf(groups: ReadonlyMap<Tid, readonly Oid[]>): Key[] {
  const keys: Key[] = [];
  for (const [tid, oids] of groups) for (const oid of oids) keys.push(recordKey({ tid, oid }));
  return keys;
}

/** Groups records by tid, to send them. */
export function grouped(records: Iterable<RecordId>): Map<Tid, Oid[]> {
  const groups = new Map<Tid, Oid[]>();
  for (const { tid, oid } of records) {
    const oids = groups.get(tid);
    if (oids === undefined) groups.set(tid, [oid]);
    else oids.push(oid);
  }
  return groups;
}

/** How two cells differ. */
export interface Comparison {
  /** What the other lacks, in order. */
  readonly missing: Key[];
  /** What only the other has. */
  readonly excess: Key[];
  /** Where the next comparison starts, `null` at the end of the range. */
  readonly next: Key | null;
}

/**
 * Compares the start of a range.
 *
 * A list of `length` keys may be incomplete: nothing is said about what comes after its last key, as
 * it could be there all the same.
 *
 * @param own up to `length + 1` keys, ascending.
 * @param theirs up to `length` keys, in any order.
 * @param last the last key of the range.
 */
export function compare(
  own: readonly Key[],
  theirs: readonly Key[],
  length: number,
  last: Key,
): Comparison {
  let next = own[length] ?? null;
  if (theirs.length >= length) {
    const end = theirs.reduce((a, b) => a > b ? a : b) + 1n;
    if (next === null || end < next) next = end;
  }
  if (next !== null && next > last) next = null;
  const covered = (key: Key) => next === null || key < next;
  const [ownSet, theirSet] = [new Set(own), new Set(theirs)];
  return {
    missing: own.filter((key) => covered(key) && !theirSet.has(key)),
    excess: theirs.filter((key) => covered(key) && !ownSet.has(key)),
    next,
  };
}
