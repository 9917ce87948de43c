/**
 * Copying a history from one place to another, record by record.
 *
 * @module
 */

import type { DataRecord, TransactionRecord } from "../client/records.ts";
import {
  add64,
  formatTidDate,
  hexId,
  INVALID_TID,
  MAX_OID,
  MAX_TID,
  type Oid,
  type Tid,
  tidFromTime,
  ZERO_TID,
} from "../protocol/ids.ts";
import { isBlobRecord } from "./blobs.ts";
import { CopyError } from "./errors.ts";
import type { Amount, TransactionDestination, TransactionSource } from "./endpoints.ts";
import {
  BACK_POINTER_SIZE,
  RECORD_HEADER_SIZE,
  TRAILER_SIZE,
  TRANSACTION_HEADER_SIZE,
} from "./format.ts";
import { checkPrefix } from "./prefix.ts";
import { keepLastOfEachOid } from "./repeated_oids.ts";

export type { Amount, Loss, TransactionDestination, TransactionSource } from "./endpoints.ts";

/** Options of {@linkcode copyTransactions}. */
export interface CopyOptions {
  /** First tid to copy. */
  readonly from?: Tid;
  /** Last tid to copy. */
  readonly to?: Tid;
  /** Copy records of blobs too, though the contents stay where they are. */
  readonly withoutBlobs?: boolean;
  /** Stops the copy between two transactions: it can be continued later. */
  readonly signal?: AbortSignal;
  /** Told once how much there is to copy: `null` if the source does not know. */
  readonly onStart?: (total: Amount | null, firstTid: Tid, lastTid: Tid) => void;
  /** Told after each transaction. */
  readonly onProgress?: (done: CopyProgress) => void;
  /** Told what the person who copies should know. */
  readonly onWarning?: (message: string) => void;
  /** Current time in seconds since the Unix epoch, for telling future tids. */
  readonly now?: number;
}

/** How far a copy is. */
export interface CopyProgress extends Amount {
  /** Number of records copied. */
  readonly records: number;
  /** Tid of the last transaction copied. */
  readonly tid: Tid;
}

/** What a copy has done. */
export interface CopySummary extends CopyProgress {
  /** Tid after which the copy continued, {@linkcode ZERO_TID} if the destination was empty. */
  readonly resumedAfter: Tid;
  /** Number of records left out because a later one of their transaction replaces them. */
  readonly repeatedOids: number;
  /** Number of transactions that lost the status of a packed one. */
  readonly lostPackedStatus: number;
  /** Number of records of blobs. */
  readonly blobs: number;
}

/**
 * Copies the transactions that the destination does not have yet.
 *
 * The destination must be empty, or hold what the source starts with: then the copy continues.
 * Whatever happens, the destination keeps the transactions it has committed.
 *
 * @throws {CopyError} if the destination holds something else, or the source something that can not
 * be copied.
 */
export async function copyTransactions(
  source: TransactionSource,
  destination: TransactionDestination,
  options: CopyOptions = {},
): Promise<CopySummary> {
  const { from = ZERO_TID, to = INVALID_TID } = options;
  const [lastTid, resumedAfter] = await Promise.all([source.lastTid(), destination.lastTid()]);
  if (resumedAfter !== ZERO_TID) await checkPrefix(source, destination, resumedAfter, from);
  warnAboutFuture(source, lastTid, options);

  const first = resumedAfter < from ? from : add64(resumedAfter, 1);
  options.onStart?.(await source.measure(first, to), first, lastTid < to ? lastTid : to);
  const copy = new Copy(source, destination, options, resumedAfter);
  for await (const transaction of source.transactions(first, to)) {
    options.signal?.throwIfAborted();
    await copy.add(transaction);
  }
  await destination.sync();
  copy.warnAboutLosses();
  return copy;
}

function warnAboutFuture(source: TransactionSource, lastTid: Tid, options: CopyOptions): void {
  if (lastTid <= tidFromTime(options.now ?? Date.now() / 1000)) return;
  options.onWarning?.(
    `the last transaction of ${source.describe()} is in the future (${formatTidDate(lastTid)}): ` +
      "until then, later transactions will be numbered just after it",
  );
}

/** The state of a copy, which becomes its summary. */
class Copy implements CopySummary {
  transactions = 0;
  records = 0;
  bytes = 0;
  repeatedOids = 0;
  lostPackedStatus = 0;
  blobs = 0;
  tid: Tid;
  /** Revisions of which another record than the last one was left out. */
  readonly #replaced = new Set<string>();

  constructor(
    private readonly source: TransactionSource,
    private readonly destination: TransactionDestination,
    private readonly options: CopyOptions,
    readonly resumedAfter: Tid,
  ) {
    this.tid = resumedAfter;
  }

  async add(transaction: TransactionRecord): Promise<void> {
    const { tid } = transaction;
    if (tid <= this.tid) {
      throw new CopyError(
        `${this.source.describe()}: transaction ${hexId(tid)} follows ${hexId(this.tid)}, ` +
          "but tids must increase",
      );
    }
    if (tid > MAX_TID) throw new CopyError(`tid ${hexId(tid)} is beyond 2^63, the limit`);
    const distinct = await this.#withoutRepeatedOids(transaction);
    const copied = new CopiedTransaction(
      distinct,
      (record) => this.#copied(record),
      (record) => this.#checkBlob(record),
    );
    await this.destination.write(copied);
    if (transaction.status === "p" && this.destination.losses.has("packed status")) {
      this.lostPackedStatus++;
    }
    this.tid = tid;
    this.transactions++;
    this.records += copied.recordCount;
    this.bytes += copied.byteCount;
    this.blobs += copied.blobCount;
    this.options.onProgress?.(this);
  }

  warnAboutLosses(): void {
    const warn = this.options.onWarning ?? (() => {});
    if (this.lostPackedStatus > 0) {
      warn(
        `${this.lostPackedStatus} transactions are marked as packed: ` +
          `${this.destination.describe()} can not keep the mark`,
      );
    }
    if (this.blobs > 0) warn(`${this.blobs} records are blobs: their contents were not copied`);
  }

  async #withoutRepeatedOids(transaction: TransactionRecord): Promise<TransactionRecord> {
    if (!this.source.repeatsOids || !this.destination.losses.has("repeated oids")) {
      return transaction;
    }
    const { distinct, repeated, leftOut } = await keepLastOfEachOid(transaction);
    this.repeatedOids += leftOut;
    for (const oid of repeated) {
      this.#replaced.add(revisionKey(oid, transaction.tid));
      this.options.onWarning?.(
        `transaction ${hexId(transaction.tid)} has several records of oid ${hexId(oid)}: ` +
          "only the last one counts and is copied",
      );
    }
    return distinct;
  }

  /** The record as the destination must get it. */
  #copied(record: DataRecord): DataRecord {
    const { oid, dataTid } = record;
    if (oid > MAX_OID) throw new CopyError(`oid ${hexId(oid)} is beyond 2^63, the limit`);
    return dataTid === null || this.#isCopied(oid, dataTid, record.tid)
      ? record
      : { ...record, dataTid: null };
  }

  #checkBlob({ oid, tid }: DataRecord): void {
    if (this.options.withoutBlobs) return;
    throw new CopyError(
      `object ${hexId(oid)} is a blob (transaction ${hexId(tid)}): contents of blobs are outside ` +
        "of the database and can not be copied",
    );
  }

  /** Whether the destination has the revision that a record shares its data with. */
  #isCopied(oid: Oid, dataTid: Tid, tid: Tid): boolean {
    return dataTid < tid && dataTid >= (this.options.from ?? ZERO_TID) &&
      !this.#replaced.has(revisionKey(oid, dataTid));
  }
}

function revisionKey(oid: Oid, tid: Tid): string {
  return `${oid}@${tid}`;
}

/** A transaction on its way, which counts what is taken from it. */
class CopiedTransaction implements TransactionRecord {
  readonly tid: Tid;
  readonly status: TransactionRecord["status"];
  readonly user: Uint8Array;
  readonly description: Uint8Array;
  readonly extension: Uint8Array;
  recordCount = 0;
  byteCount = 0;
  blobCount = 0;

  constructor(
    private readonly origin: TransactionRecord,
    private readonly convert: (record: DataRecord) => DataRecord,
    private readonly onBlob: (record: DataRecord) => void,
  ) {
    this.tid = origin.tid;
    this.status = origin.status;
    this.user = origin.user;
    this.description = origin.description;
    this.extension = origin.extension;
  }

  async *records(): AsyncGenerator<DataRecord> {
    // Counted from zero each time: a destination may read the records again.
    this.recordCount = 0;
    this.blobCount = 0;
    this.byteCount = TRANSACTION_HEADER_SIZE + TRAILER_SIZE + this.user.length +
      this.description.length + this.extension.length;
    for await (const record of this.origin.records()) {
      const own = record.dataTid === null ? record.data : null;
      this.recordCount++;
      this.byteCount += RECORD_HEADER_SIZE + (own?.length ?? BACK_POINTER_SIZE);
      if (own !== null && isBlobRecord(own)) {
        this.blobCount++;
        this.onBlob(record);
      }
      yield this.convert(record);
    }
  }
}
