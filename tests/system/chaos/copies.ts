/**
 * Compares the databases of storages that have ended, cell by cell.
 *
 * @module
 */

import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { hexId, MAX_TID, type Tid, ZERO_OID, ZERO_TID } from "../../../protocol/ids.ts";
import { type AdapterName, type Database, openDatabase } from "../../../storage/database/mod.ts";

/** Items that are asked at once. */
const MANY = 1 << 20;

/** Where a storage has its data. */
export interface Location {
  readonly adapter: AdapterName;
  readonly database: string;
}

/** What all cells hold together. */
export interface Contents {
  readonly transactions: number;
  readonly records: number;
}

/**
 * Fails unless each partition has as many readable cells as wanted, all with the same contents, down
 * to the bytes, and nothing is left of transactions that did not end.
 */
export async function compareCopies(
  locations: readonly Location[],
  copies: number,
): Promise<Contents> {
  const databases: Database[] = [];
  try {
    for (const location of locations) databases.push(await open(location));
    for (const [index, database] of databases.entries()) {
      const unfinished = [...(await database.lockedTransactions()).keys()].map(hexId);
      assert.deepEqual(unfinished, [], `transactions of storage ${index + 1} that did not end`);
    }
    let transactions = 0;
    let records = 0;
    const partitions = Math.max(...databases.map((database) => database.partitions));
    for (let partition = 0; partition < partitions; partition++) {
      const readable = databases.filter((database) => database.isReadable(partition));
      assert.equal(readable.length, copies, `readable cells of partition ${partition}`);
      const [first, ...others] = await Promise.all(
        readable.map((database) => contents(database, partition)),
      );
      for (const other of others) assertEqual(first?.lines, other.lines, partition);
      transactions += first?.transactions ?? 0;
      records += first?.records ?? 0;
    }
    return { transactions, records };
  } finally {
    for (const database of databases) await database.close();
  }
}

async function open({ adapter, database: place }: Location): Promise<Database> {
  const database = await openDatabase(adapter, {
    database: place,
    wait: 0,
    engine: null,
    dedup: false,
    reset: false,
    disableDropPartitions: true,
    log: () => {},
  });
  await database.loadPartitionTable();
  return database;
}

/** All that a cell holds, as lines of text. Nothing was deleted. */
async function contents(database: Database, partition: number) {
  const lines: string[] = [];
  const tids = await database.tidsFrom(partition, ZERO_TID, MAX_TID, MANY);
  for (const tid of tids) {
    const transaction = await database.transaction(tid);
    assert(transaction !== null, `transaction ${hexId(tid)} is listed and does not exist`);
    const { ttid, oids, user, description, extension, packed } = transaction;
    const texts = [user, description, extension].map((bytes) => new TextDecoder().decode(bytes));
    lines.push(`transaction ${hexId(tid)}: ${hexId(ttid)} ${oids.map(hexId)} ${texts} ${packed}`);
  }
  const { oids, next } = await database.oidsFrom(partition, ZERO_OID, MAX_TID, MANY);
  assert.equal(next, null);
  for (const oid of oids) {
    for (const { tid } of await database.history(oid, 0, MANY)) {
      const record = await database.object(oid, tid, null);
      assert(record?.data, `object ${hexId(oid)} has no data at ${hexId(tid)}`);
      const { nextSerial, dataSerial, data: { data, compression, checksum } } = record;
      const digest = hash("sha1", data, "hex");
      assert.equal(digest, checksum.toHex(), `checksum of ${hexId(oid)} at ${hexId(tid)}`);
      const links = [nextSerial, dataSerial].map((serial: Tid | null) => serial && hexId(serial));
      lines.push(`object ${hexId(oid)} at ${hexId(tid)}: ${links} ${compression} ${digest}`);
    }
  }
  return { lines, transactions: tids.length, records: lines.length - tids.length };
}

/** A comparison that tells the first difference instead of all that is the same. */
function assertEqual(
  expected: readonly string[] = [],
  found: readonly string[],
  partition: number,
): void {
  for (let i = 0; i < Math.max(expected.length, found.length); i++) {
    assert.equal(found[i], expected[i], `copies of partition ${partition} differ in line ${i}`);
  }
}
