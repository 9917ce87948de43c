/**
 * Transactions and their records as they are iterated, copied and compared, whatever holds them: a
 * NEO cluster or a Data.fs file.
 *
 * @module
 */

import type { Oid, Tid } from "../protocol/ids.ts";

/** What one transaction wrote for one object. */
export interface DataRecord {
  /** Which object. */
  readonly oid: Oid;
  /** Tid of the transaction. */
  readonly tid: Tid;
  /** Uncompressed; `null` for a deletion or an undone creation. */
  readonly data: Uint8Array | null;
  /** The earlier revision of the object this record shares its data with (undo), `null` otherwise. */
  readonly dataTid: Tid | null;
}

/** Metadata of a transaction. */
export interface TransactionInfo {
  /** Its id. */
  readonly tid: Tid;
  /** `"p"` for a transaction older than the last pack of a FileStorage, else a space. */
  readonly status: " " | "p";
  /** UTF-8 by convention, kept as it is. */
  readonly user: Uint8Array;
  /** UTF-8 by convention, kept as it is. */
  readonly description: Uint8Array;
  /** A pickled dictionary, or empty; kept as it is. */
  readonly extension: Uint8Array;
}

/** A transaction met by an iteration. Its records can be iterated several times. */
export interface TransactionRecord extends TransactionInfo {
  /** Records in stored order. */
  records(): AsyncIterable<DataRecord>;
}
