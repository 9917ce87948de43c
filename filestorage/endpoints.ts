/**
 * What a place must offer for a history to be copied from it, or to it.
 *
 * A Data.fs is one kind of place (`file_source.ts`, `file_destination.ts`), a NEO cluster another.
 *
 * @module
 */

import type { TransactionRecord } from "../client/records.ts";
import type { Tid } from "../protocol/ids.ts";

/** An amount of work. */
export interface Amount {
  readonly transactions: number;
  /** As many as a Data.fs would have, whatever the source is. */
  readonly bytes: number;
}

/** Where transactions are copied from. */
export interface TransactionSource {
  /** Name for messages: a path, or a cluster. */
  describe(): string;
  /** Whether a transaction may have several records of the same object. */
  readonly repeatsOids: boolean;
  /** Tid of the last transaction, `ZERO_TID` if there are none. */
  lastTid(): Promise<Tid>;
  /** Transactions by increasing tid, from one tid to another, both included. */
  transactions(from?: Tid, to?: Tid): AsyncIterable<TransactionRecord>;
  /** How much {@linkcode transactions} will give, as far as it is known. */
  measure(from?: Tid, to?: Tid): Promise<Amount | null>;
  close(): Promise<void>;
}

/** What a destination may be unable to keep. */
export type Loss =
  /** That a transaction is older than the last pack. */
  | "packed status"
  /** More than one record of an object in a transaction. */
  | "repeated oids";

/** Where transactions are copied to. */
export interface TransactionDestination {
  /** Name for messages: a path, or a cluster. */
  describe(): string;
  /** What it can not keep; the copy adapts, and reports it. */
  readonly losses: ReadonlySet<Loss>;
  /** Tid of the last transaction, `ZERO_TID` if there are none. */
  lastTid(): Promise<Tid>;
  /** Up to `count` last transactions, by increasing tid. */
  lastTransactions(count: number): Promise<TransactionRecord[]>;
  /**
   * Writes a transaction after all others.
   *
   * Resolves when its records were read, at the latest when it is committed: a destination may
   * keep several transactions in flight, and then reports a failure at a later call.
   * `dataTid` of a record is a hint: if that revision is not there, data is to be stored.
   */
  write(transaction: TransactionRecord): Promise<void>;
  /** Waits until all that was written is durable. */
  sync(): Promise<void>;
  /** Gives up what {@linkcode sync} did not wait for. */
  close(): Promise<void>;
}
