/**
 * Comparison of two histories, wherever they are.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { DataRecord, TransactionInfo, TransactionRecord } from "../client/records.ts";
import { hexId, type Oid, type Tid } from "../protocol/ids.ts";
import { equalBytes } from "./bytes.ts";

/** What to leave out of a comparison. */
export interface CompareOptions {
  /** Whether a transaction is older than a pack. */
  readonly ignoreStatus?: boolean;
  /** Which revision a record shares its data with. */
  readonly ignoreDataTid?: boolean;
  /** Order of the records inside a transaction. */
  readonly ignoreOrder?: boolean;
  /** Told after each transaction, for a progress display. */
  readonly onTransaction?: (tid: Tid) => void;
}

/** One thing that is not the same on both sides. */
export interface Difference {
  readonly tid: Tid;
  /** `null` for the metadata of the transaction. */
  readonly oid: Oid | null;
  /** What differs: `transaction`, `user`, `data`... */
  readonly field: string;
  /** Value on the left, in a readable form. */
  readonly left: string;
  readonly right: string;
}

/** Result of a comparison. */
export interface Comparison {
  /** Number of transactions compared. */
  transactions: number;
  /** Number of records compared. */
  records: number;
  /** Number of differences. */
  differences: number;
  /** The first ones of them. */
  readonly first: Difference[];
}

/** Most differences that are described. */
const MAX_DESCRIBED = 10;

/**
 * Compares two sequences of transactions, both by increasing tid, to the last byte.
 *
 * @example
 * ```ts ignore
 * const comparison = await compareTransactions(source.transactions(), copy.transactions());
 * for (const difference of comparison.first) console.error(formatDifference(difference));
 * ```
 */
export async function compareTransactions(
  left: AsyncIterable<TransactionRecord>,
  right: AsyncIterable<TransactionRecord>,
  options: CompareOptions = {},
): Promise<Comparison> {
  const result = new Differences();
  const lefts = left[Symbol.asyncIterator]();
  const rights = right[Symbol.asyncIterator]();
  try {
    let [a, b] = await Promise.all([lefts.next(), rights.next()]);
    while (!a.done || !b.done) {
      if (b.done || (!a.done && a.value.tid < b.value.tid)) {
        if (a.done) break;
        result.add(a.value.tid, null, "transaction", "present", "absent");
        a = await lefts.next();
      } else if (a.done || b.value.tid < a.value.tid) {
        result.add(b.value.tid, null, "transaction", "absent", "present");
        b = await rights.next();
      } else {
        await compareTransaction(a.value, b.value, options, result);
        result.transactions++;
        options.onTransaction?.(a.value.tid);
        [a, b] = await Promise.all([lefts.next(), rights.next()]);
      }
    }
  } finally {
    await Promise.all([lefts.return?.(), rights.return?.()]);
  }
  return result;
}

/** A line that describes a difference. */
export function formatDifference({ tid, oid, field, left, right }: Difference): string {
  const place = oid === null ? "" : `, oid ${hexId(oid)}`;
  return `tid ${hexId(tid)}${place}: ${field} is ${left} on the left, ${right} on the right`;
}

class Differences implements Comparison {
  transactions = 0;
  records = 0;
  differences = 0;
  readonly first: Difference[] = [];

  add(tid: Tid, oid: Oid | null, field: string, left: string, right: string): void {
    this.differences++;
    if (this.first.length < MAX_DESCRIBED) this.first.push({ tid, oid, field, left, right });
  }
}

async function compareTransaction(
  left: TransactionRecord,
  right: TransactionRecord,
  options: CompareOptions,
  result: Differences,
): Promise<void> {
  compareMetadata(left, right, options, result);
  const sides = options.ignoreOrder
    ? [sortedByOid(left), sortedByOid(right)] as const
    : [left.records(), right.records()] as const;
  await compareRecords(left.tid, sides[0], sides[1], options, result);
}

function compareMetadata(
  left: TransactionInfo,
  right: TransactionInfo,
  options: CompareOptions,
  result: Differences,
): void {
  if (!options.ignoreStatus && left.status !== right.status) {
    result.add(left.tid, null, "status", `"${left.status}"`, `"${right.status}"`);
  }
  for (const field of ["user", "description", "extension"] as const) {
    if (!equalBytes(left[field], right[field])) {
      result.add(left.tid, null, field, formatBytes(left[field]), formatBytes(right[field]));
    }
  }
}

async function compareRecords(
  tid: Tid,
  left: AsyncIterable<DataRecord>,
  right: AsyncIterable<DataRecord>,
  options: CompareOptions,
  result: Differences,
): Promise<void> {
  const lefts = left[Symbol.asyncIterator]();
  const rights = right[Symbol.asyncIterator]();
  try {
    while (true) {
      const [a, b] = await Promise.all([lefts.next(), rights.next()]);
      if (a.done && b.done) return;
      // Once the sides are out of step, what follows would differ everywhere for the same reason.
      if (a.done || b.done || a.value.oid !== b.value.oid) {
        const oid = (a.done ? b.value : a.value).oid;
        const describe = ({ done, value }: IteratorResult<DataRecord>) =>
          done ? "absent" : `of oid ${hexId(value.oid)}`;
        result.add(tid, oid, "record", describe(a), describe(b));
        return;
      }
      compareRecord(a.value, b.value, options, result);
      result.records++;
    }
  } finally {
    await Promise.all([lefts.return?.(), rights.return?.()]);
  }
}

function compareRecord(
  left: DataRecord,
  right: DataRecord,
  options: CompareOptions,
  result: Differences,
): void {
  const same = left.data === null || right.data === null
    ? left.data === right.data
    : equalBytes(left.data, right.data);
  const { tid, oid } = left;
  if (!same) result.add(tid, oid, "data", formatData(left.data), formatData(right.data));
  if (right.tid !== tid) result.add(tid, oid, "tid", hexId(tid), hexId(right.tid));
  if (!options.ignoreDataTid && left.dataTid !== right.dataTid) {
    result.add(tid, oid, "data tid", formatTid(left.dataTid), formatTid(right.dataTid));
  }
}

/** Records of a transaction by oid: they are held in memory together. */
async function* sortedByOid(transaction: TransactionRecord): AsyncGenerator<DataRecord> {
  const records: DataRecord[] = [];
  for await (const record of transaction.records()) records.push(record);
  // Sorting is stable: several records of an object stay in order.
  yield* records.sort((a, b) => a.oid < b.oid ? -1 : a.oid > b.oid ? 1 : 0);
}

function formatTid(tid: Tid | null): string {
  return tid === null ? "none" : hexId(tid);
}

function formatData(data: Uint8Array | null): string {
  if (data === null) return "none";
  const sha1 = createHash("sha1").update(data).digest("hex");
  return `${data.length} bytes (SHA-1 ${sha1})`;
}

function formatBytes(bytes: Uint8Array): string {
  const shown = [...bytes.subarray(0, 40)].map((byte) =>
    byte >= 0x20 && byte < 0x7f && byte !== 0x5c && byte !== 0x22
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`
  );
  return `"${shown.join("")}"${bytes.length > 40 ? `... (${bytes.length} bytes)` : ""}`;
}
