/**
 * Asking for the records of the next transactions while one is used.
 *
 * @module
 */

import type { DataRecord, TransactionInfo, TransactionRecord } from "../client/records.ts";

/** Transactions whose first records are asked in advance, at most. */
const MAX_AHEAD = 16;
/** Bytes that are asked in advance, if transactions are as long as the longest of the last ones. */
const BUDGET = 8 << 20;

/**
 * The same transactions, whose records are asked for early: the first ones of each, as many as the
 * origin reads ahead by itself.
 */
export async function* prefetchRecords(
  transactions: AsyncIterable<TransactionRecord>,
): AsyncGenerator<TransactionRecord> {
  const ahead: PrefetchedTransaction[] = [];
  /** Length of the longest transaction, forgotten little by little. */
  let length = BUDGET;
  async function* use(transaction: PrefetchedTransaction) {
    try {
      yield transaction;
    } finally {
      await transaction.release();
    }
    length = Math.max(transaction.length, length * 0.9);
  }
  try {
    for await (const transaction of transactions) {
      ahead.push(new PrefetchedTransaction(transaction));
      while (ahead.length > Math.min(MAX_AHEAD, BUDGET / length)) {
        const next = ahead.shift();
        if (next !== undefined) yield* use(next);
      }
    }
    for (let next; (next = ahead.shift()) !== undefined;) yield* use(next);
  } finally {
    await Promise.all(ahead.map((transaction) => transaction.release()));
  }
}

class PrefetchedTransaction implements TransactionRecord {
  readonly tid: TransactionInfo["tid"];
  readonly status: TransactionInfo["status"];
  readonly user: Uint8Array;
  readonly description: Uint8Array;
  readonly extension: Uint8Array;
  /** Bytes that were read by the first iteration. */
  length = 0;
  readonly #origin: TransactionRecord;
  /** For the first iteration, which has begun. */
  #early: { records: AsyncIterator<DataRecord>; first: Promise<IteratorResult<DataRecord>> } | null;

  constructor(origin: TransactionRecord) {
    this.tid = origin.tid;
    this.status = origin.status;
    this.user = origin.user;
    this.description = origin.description;
    this.extension = origin.extension;
    this.#origin = origin;
    const records = origin.records()[Symbol.asyncIterator]();
    const first = records.next();
    // A failure is for the one who gets there.
    first.catch(() => {});
    this.#early = { records, first };
  }

  records(): AsyncIterable<DataRecord> {
    const early = this.#early;
    this.#early = null;
    return early === null ? this.#origin.records() : this.#continue(early.records, early.first);
  }

  /** Gives up the records that nobody wanted. */
  async release(): Promise<void> {
    const early = this.#early;
    this.#early = null;
    if (early === null) return;
    await early.first.catch(() => {});
    await early.records.return?.();
  }

  async *#continue(
    records: AsyncIterator<DataRecord>,
    first: Promise<IteratorResult<DataRecord>>,
  ): AsyncGenerator<DataRecord> {
    try {
      for (let next = await first; !next.done; next = await records.next()) {
        this.length += next.value.data?.length ?? 0;
        yield next.value;
      }
    } finally {
      await records.return?.();
    }
  }
}
