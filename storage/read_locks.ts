/**
 * Read locks: between the lock and the unlock of a transaction, its objects and its metadata are on
 * their way to the committed tables, and who asks for them waits.
 *
 * @module
 */

import type { Oid, Tid } from "../protocol/ids.ts";
import type { Transaction } from "./transaction.ts";

/** A read that waits for commits in progress. */
export interface DelayedRead {
  blocked(): boolean;
  start(): void;
}

/** The transactions being committed. */
export class ReadLocks {
  readonly #objects = new Map<Oid, Transaction>();
  readonly #transactions = new Set<Transaction>();
  #delayed: DelayedRead[] = [];

  /** Number of transactions that are locked. */
  get size(): number {
    return this.#transactions.size;
  }

  /** Number of reads that wait. */
  get waiting(): number {
    return this.#delayed.length;
  }

  /** Locks what a transaction stored, and its final tid. */
  lock(transaction: Transaction): void {
    this.#transactions.add(transaction);
    for (const { oid } of transaction.voted) this.#objects.set(oid, transaction);
  }

  /** Unlocks it all and serves the reads that waited for it. */
  unlock(transaction: Transaction): void {
    if (!this.#transactions.delete(transaction)) return;
    for (const { oid } of transaction.voted) this.#unlockObject(oid, transaction);
    this.serve();
  }

  /** Unlocks objects that are not on this node any more; `serve` has to follow. */
  discard(transaction: Transaction, discarded: (oid: Oid) => boolean): void {
    if (!this.#transactions.has(transaction)) return;
    for (const { oid } of transaction.voted) {
      if (discarded(oid)) this.#unlockObject(oid, transaction);
    }
  }

  #unlockObject(oid: Oid, transaction: Transaction): void {
    if (this.#objects.get(oid) === transaction) this.#objects.delete(oid);
  }

  /** Whether an object is being committed. */
  hasObject(oid: Oid): boolean {
    return this.#objects.has(oid);
  }

  /** Whether the transaction with that final tid is being committed. */
  hasTid(tid: Tid): boolean {
    for (const transaction of this.#transactions) if (transaction.tid === tid) return true;
    return false;
  }

  /** Whether a transaction whose final tid is at most the given one is being committed. */
  hasTidUpTo(bound: Tid): boolean {
    for (const { tid } of this.#transactions) if (tid !== null && tid <= bound) return true;
    return false;
  }

  /** The greatest final tid being committed. */
  lastTid(): Tid | null {
    let last: Tid | null = null;
    for (const { tid } of this.#transactions) {
      if (tid !== null && (last === null || tid > last)) last = tid;
    }
    return last;
  }

  /** Resolves once no transaction up to a final tid is being committed, or the reader is gone. */
  committed(bound: Tid, reader: { readonly open: boolean } = { open: true }): Promise<void> {
    const blocked = () => reader.open && this.hasTidUpTo(bound);
    if (!blocked()) return Promise.resolve();
    return new Promise((resolve) => this.delay({ blocked, start: resolve }));
  }

  /** Makes a read wait. */
  delay(read: DelayedRead): void {
    this.#delayed.push(read);
  }

  /** Starts the reads that wait for nothing any more, in the order of arrival. */
  serve(): void {
    if (this.#delayed.length === 0) return;
    const delayed = this.#delayed;
    this.#delayed = [];
    for (const read of delayed) {
      if (read.blocked()) this.#delayed.push(read);
      else read.start();
    }
  }
}
