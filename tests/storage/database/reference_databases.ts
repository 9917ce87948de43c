/** Databases that the reference implementation wrote. */

import { deepEqual, equal, ok } from "node:assert/strict";
import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import { hexId, MAX_TID, type Tid } from "../../../protocol/ids.ts";
import type { CommittedTransaction, Database } from "../../../storage/database/mod.ts";
import { bytes, oid, tid } from "./support.ts";

/** The folder of the files, with a slash. */
export const FIXTURES = new URL("../../fixtures/databases/", import.meta.url).pathname;

interface ExpectedRecord {
  readonly oid: string;
  readonly data: { readonly sha1: string; readonly len: number } | null;
}

interface Expected {
  readonly last_tid: string;
  readonly transactions: readonly {
    readonly tid: string;
    readonly user: string;
    readonly description: string;
    readonly extension_bytes: string;
    readonly records: readonly ExpectedRecord[];
  }[];
}

const hex = (data: Uint8Array) => data.toHex();

/** Checks all that is in the database of a storage against what was recorded. */
export async function checkReference(db: Database, nid: number, file: string): Promise<void> {
  const expected: Expected = JSON.parse(await Deno.readTextFile(FIXTURES + file));
  equal(db.clusterName, "sample");
  equal(db.nid, nid);
  equal(db.partitions, 3);
  equal((await db.loadPartitionTable())?.cells.length, 6);
  deepEqual((await db.completedPacks()).map(({ pack }) => pack), [0n, 0n, 0n]);
  ok([0, 1, 2].every((partition) => db.isReadable(partition)));
  const locked = [...await db.lockedTransactions()];
  deepEqual(locked.map(([, final]) => final), [null]);
  await db.dropUnfinished();
  deepEqual(await db.lockedTransactions(), new Map());

  const { lastTid, lastOid, firstTid } = await db.lastIds();
  equal(hexId(lastTid ?? tid(0)), expected.last_tid);
  equal(hexId(firstTid), expected.transactions[0]?.tid);
  equal(lastOid, 10n);
  const tids = (await db.tids([0, 1, 2], 0, 1000)).toReversed();
  deepEqual(tids.map(hexId), expected.transactions.map(({ tid }) => tid));
  for (const { tid: id, user, description, extension_bytes, records } of expected.transactions) {
    const transaction = await db.transaction(tid(BigInt(`0x${id}`)));
    ok(transaction !== null);
    equal(hex(transaction.user), user);
    equal(hex(transaction.description), description);
    equal(hex(transaction.extension), extension_bytes);
    equal(await db.finalTid(transaction.ttid), transaction.tid);
    const byOid = (a: ExpectedRecord, b: ExpectedRecord) => a.oid < b.oid ? -1 : 1;
    deepEqual((await readRecords(db, transaction)).sort(byOid), records.toSorted(byOid));
  }
  await checkUndo(db, tids);
  // Written by them, continued by us.
  const id = await db.storeData(oid(6), {
    compression: 0,
    checksum: new Uint8Array(20),
    data: bytes("new"),
  });
  equal(id, 24n, "the one of the dropped transaction");
}

async function readRecords(
  db: Database,
  transaction: CommittedTransaction,
): Promise<ExpectedRecord[]> {
  const records: ExpectedRecord[] = [];
  for (const id of transaction.oids) {
    const record = await db.object(id, transaction.tid, null);
    if (!record) continue; // It was only checked.
    if (record.data === null) {
      records.push({ oid: hexId(id), data: null });
      continue;
    }
    const { data, compression, checksum } = record.data;
    equal(hex(checksum), createHash("sha1").update(data).digest("hex"));
    const raw = compression === 1 ? new Uint8Array(inflateSync(data)) : data;
    const sha1 = createHash("sha1").update(raw).digest("hex");
    records.push({ oid: hexId(id), data: { sha1, len: raw.byteLength } });
  }
  return records;
}

/** The undone transaction: the last revision of object 2 is a link. */
async function checkUndo(db: Database, tids: readonly Tid[]): Promise<void> {
  const last = await db.object(oid(2), null, null);
  ok(last?.dataSerial && tids.includes(last.dataSerial));
  const source = await db.object(oid(2), last.dataSerial, null);
  deepEqual(last.data, source?.data);
  const history = await db.history(oid(2), 0, 1000);
  equal(history[0]?.tid, last.serial);
  equal(history[0]?.size, last.data?.data.byteLength);
  const undone = await db.undoHistory(oid(2), last.dataSerial, MAX_TID);
  deepEqual(undone?.later.at(-1), { tid: last.serial, dataSerial: last.dataSerial });
  deepEqual((await db.oidsFrom(1, oid(0), MAX_TID, 100)).oids, [1n, 4n, 7n]);
}
