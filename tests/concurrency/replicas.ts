/**
 * Compares what storage nodes have.
 *
 * @module
 */

import assert from "node:assert/strict";
import { MAX_TID, type Oid, type Tid, toOid, ZERO_OID, ZERO_TID } from "../../protocol/ids.ts";
import { hash } from "node:crypto";
import type { Database } from "../../storage/database/mod.ts";

/** Items that are asked at once. */
const MANY = 1 << 20;

/** All that a database has of a partition, as text: transactions, then revisions of each object. */
async function contents(database: Database, partition: number): Promise<string[]> {
  const lines: string[] = [];
  const tids = await database.tidsFrom(partition, ZERO_TID, MAX_TID, MANY);
  const oids = new Set<Oid>();
  for (const tid of tids) {
    const transaction = await database.transaction(tid);
    assert(transaction !== null);
    lines.push(`transaction ${tid}: ${transaction.ttid} ${transaction.oids}`);
  }
  // Whatever was deleted since.
  for (const at of [...tids, MAX_TID] as Tid[]) {
    let min: Oid | null = ZERO_OID;
    while (min !== null) {
      const { next, oids: found } = await database.oidsFrom(partition, toOid(min), at, MANY);
      for (const oid of found) oids.add(oid);
      min = next;
    }
  }
  for (const oid of [...oids].sort((a, b) => (a < b ? -1 : 1))) {
    for (const { tid } of await database.history(oid, 0, MANY)) {
      const record = await database.object(oid, tid, null);
      assert(record !== null && record !== undefined);
      const { nextSerial, data, dataSerial } = record;
      const text = data === null
        ? "deleted"
        : `${data.compression} ${hash("sha1", data.data, "hex")}`;
      lines.push(`object ${oid} at ${tid}: next ${nextSerial}, from ${dataSerial}, ${text}`);
    }
  }
  return lines;
}

/** Fails unless all databases that have a readable cell of a partition have the same in it. */
export async function assertIdentical(databases: readonly Database[]): Promise<void> {
  const partitions = Math.max(...databases.map((database) => database.partitions));
  for (let partition = 0; partition < partitions; partition++) {
    const readable = databases.filter((database) => database.isReadable(partition));
    const [first, ...others] = await Promise.all(
      readable.map((database) => contents(database, partition)),
    );
    for (const other of others) assert.deepEqual(other, first, `partition ${partition}`);
  }
}
