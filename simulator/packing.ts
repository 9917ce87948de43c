/**
 * What packs may have removed.
 *
 * @module
 */

import { hexId, type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import { unpackOids } from "../storage/database/packed_oids.ts";
import { asBytes, asNumber, asTid, nullable } from "../storage/database/sql.ts";
import type { Disk } from "./disk.ts";
import type { Committed, History } from "./history.ts";

/** A pack that was approved. */
export interface Pack {
  readonly id: Tid;
  /** The objects that it concerns, `null` for all. */
  readonly oids: ReadonlySet<Oid> | null;
  /** Only what is not current at this tid goes. */
  readonly tid: Tid;
}

/** The tid up to which packs removed revisions of an object. */
export type Packed = (oid: Oid) => Tid;

/** The approved packs that storages know of, by increasing id. */
export function approvedPacks(disks: readonly Disk[]): Pack[] {
  const packs = new Map<Tid, Pack>();
  for (const disk of disks) {
    const rows = disk.read("SELECT tid, approved, oids, pack_tid FROM pack", []);
    for (const [id, approved, list = null, tid] of rows) {
      if (nullable(approved ?? null, asNumber) !== 1) continue;
      const oids = nullable(list, (blob) => new Set(unpackOids(asBytes(blob))));
      packs.set(asTid(id), { id: asTid(id), oids, tid: asTid(tid) });
    }
  }
  return [...packs.values()].sort((a, b) => a.id < b.id ? -1 : 1);
}

/** What packs removed. */
export function packedUntil(packs: readonly Pack[]): Packed {
  return (oid) =>
    packs.filter(({ oids }) => oids === null || oids.has(oid))
      .reduce((last, { tid }) => tid > last ? tid : last, ZERO_TID);
}

/**
 * What storages had before they packed, from what they have and what clients recorded.
 *
 * @returns the transactions, and what is wrong: what is still there although it was packed. What is
 * missing although it must not be is left to the checks that follow.
 */
export function unpack(
  history: History,
  transactions: readonly Committed[],
  packed: Packed,
): { transactions: Committed[]; problems: string[] } {
  const attempts = new Map(history.attempts.map((attempt) => [attempt.id, attempt]));
  const restored = new Map<Tid, Map<Oid, string | null | undefined>>();
  /** The last revision before the present transaction. */
  const current = new Map<Oid, string | null | undefined>();
  const before = new Map<Tid, Map<Oid, string | null | undefined>>();
  /** All revisions of each object, by increasing tid. */
  const revisions = new Map<Oid, Tid[]>();
  for (const { tid, description, objects } of transactions) {
    const all = new Map<Oid, string | null | undefined>(objects);
    const attempt = attempts.get(description);
    const add = (oid: Oid, data: string | null | undefined) => {
      if (!all.has(oid)) all.set(oid, data);
    };
    for (const [oid, { data }] of attempt?.writes ?? []) add(oid, data);
    for (const oid of attempt?.undone ? restored.get(attempt.undone)?.keys() ?? [] : []) {
      add(oid, attempt?.merges ? undefined : before.get(attempt?.undone ?? ZERO_TID)?.get(oid));
    }
    before.set(tid, new Map([...all.keys()].map((oid) => [oid, current.get(oid) ?? null])));
    for (const [oid, data] of all) {
      current.set(oid, data);
      const tids = revisions.get(oid);
      if (tids === undefined) revisions.set(oid, [tid]);
      else tids.push(tid);
    }
    restored.set(tid, all);
  }
  const problems: string[] = [];
  const result = transactions.map((transaction) => {
    const { tid, objects } = transaction;
    const all = new Map(objects);
    for (const [oid, data] of restored.get(tid) ?? []) {
      const next = revisions.get(oid)?.find((other) => other > tid) ?? null;
      const until = packed(oid);
      const gone = next !== null && next <= until || tid <= until && data === null;
      if (gone && objects.has(oid)) {
        problems.push(`revision ${hexId(tid)} of ${hexId(oid)} is there after a pack`);
      } else if (gone) all.set(oid, data);
    }
    return { ...transaction, objects: all };
  });
  return { transactions: result, problems };
}
