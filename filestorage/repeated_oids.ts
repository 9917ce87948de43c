/**
 * Transactions with several records of the same object.
 *
 * @module
 */

import type { DataRecord, TransactionRecord } from "../client/records.ts";
import type { Oid } from "../protocol/ids.ts";

/** A transaction with one record by object, and what it took. */
export interface DistinctOids {
  readonly distinct: TransactionRecord;
  /** Oids that had several records. */
  readonly repeated: ReadonlySet<Oid>;
  /** Number of records left out. */
  readonly leftOut: number;
}

/**
 * Keeps the last record of each object, which is the one that counts, at the place of its first one.
 *
 * Returns the transaction itself if nothing is repeated; else only the records of the repeated
 * objects are held in memory.
 */
export async function keepLastOfEachOid(transaction: TransactionRecord): Promise<DistinctOids> {
  const seen = new Set<Oid>();
  const repeated = new Set<Oid>();
  let count = 0;
  for await (const { oid } of transaction.records()) {
    count++;
    if (seen.has(oid)) repeated.add(oid);
    seen.add(oid);
  }
  if (repeated.size === 0) return { distinct: transaction, repeated, leftOut: 0 };
  const { tid, status, user, description, extension } = transaction;
  const records = () => distinctRecords(transaction, repeated);
  const distinct = { tid, status, user, description, extension, records };
  return { distinct, repeated, leftOut: count - seen.size };
}

/** {@linkcode keepLastOfEachOid} for many transactions. */
export async function* withDistinctOids(
  transactions: AsyncIterable<TransactionRecord>,
): AsyncGenerator<TransactionRecord> {
  for await (const transaction of transactions) {
    yield (await keepLastOfEachOid(transaction)).distinct;
  }
}

async function* distinctRecords(
  transaction: TransactionRecord,
  repeated: ReadonlySet<Oid>,
): AsyncGenerator<DataRecord> {
  const last = new Map<Oid, DataRecord>();
  for await (const record of transaction.records()) {
    if (repeated.has(record.oid)) last.set(record.oid, record);
  }
  for await (const record of transaction.records()) {
    if (!repeated.has(record.oid)) {
      yield record;
      continue;
    }
    const kept = last.get(record.oid);
    if (kept !== undefined) yield kept;
    last.delete(record.oid);
  }
}
