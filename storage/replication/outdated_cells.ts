/**
 * Cells of this node that lack data, as far as writes are concerned.
 *
 * While a cell is *replicating*, it accepts all writes without lock: conflicts can't be checked, other
 * cells do it. Once it is *replicated*, new writes are checked and locked like in readable cells, and it
 * remains to give locks to the transactions that wrote without. As soon as each object has at most one
 * such writer, which has not voted, these writers get the locks and are checked, and the master is told
 * that the cell is up to date. Not before: a conflict that only other cells have noticed is lost with
 * them, and the master may do without them as soon as this cell can be read.
 *
 * @module
 */

import type { Log } from "../../network/log.ts";
import { hexId, type Oid, partitionOf, type Tid } from "../../protocol/ids.ts";
import type { Database } from "../database/mod.ts";
import type { Transaction } from "../transaction.ts";
import type { Transactions, Watch } from "../transactions.ts";

/** What comes of it. */
export interface OutdatedCellsEvents {
  /** The master is to be told that a cell has everything up to a tid. */
  readonly done: (partition: number, tid: Tid) => void;
  readonly watch: Watch;
}

/** What becomes of writes depends on it. */
export class OutdatedCells {
  readonly #replicating = new Set<number>();
  /** Those that the master was not told about, with the tid up to which they have everything. */
  readonly #replicated = new Map<number, Tid>();
  /** Those whose last writers are checked, or were, each with the round that it belongs to. */
  readonly #checked = new Map<number, object>();

  constructor(
    readonly log: Log,
    readonly database: Database,
    readonly transactions: Transactions,
    readonly events: OutdatedCellsEvents,
  ) {
    transactions.onReleased = (transaction) => {
      // Nothing changes with those that have locks.
      if (transaction.lockless.size > 0) this.#evaluate();
    };
  }

  /** Whether writes are accepted without lock. */
  acceptsAll(partition: number): boolean {
    return this.#replicating.has(partition);
  }

  /** Whether the cell can check writes, though it is not readable. */
  checks(partition: number): boolean {
    return this.#replicated.has(partition) || this.#checked.has(partition);
  }

  /** Cells are going to be filled. */
  replicating(partitions: Iterable<number>): void {
    for (const partition of partitions) {
      this.forget(partition);
      this.#replicating.add(partition);
    }
  }

  /** A cell has everything up to a tid, and will receive in full all that comes after. */
  replicated(partition: number, tid: Tid): void {
    this.#replicating.delete(partition);
    this.#replicated.set(partition, tid);
    this.#evaluate();
  }

  /** A cell is readable, not usable or not there any more. */
  forget(partition: number): void {
    this.#replicating.delete(partition);
    this.#replicated.delete(partition);
    this.#checked.delete(partition);
  }

  /**
   * Gives the lock of each object written without lock in a replicated cell to the last transaction
   * that did, which makes new ones wait; cells where no object has several of them are done.
   */
  #evaluate(): void {
    if (this.#replicated.size === 0) return;
    const { locks } = this.transactions;
    const { partitions } = this.database;
    const candidates = new Map(this.#replicated);
    const owners = new Map<Oid, Transaction>();
    const oldestFirst = [...this.transactions.list()]
      .filter(({ lockless }) => lockless.size > 0)
      .sort((a, b) => a.ttid < b.ttid ? -1 : 1);
    for (const transaction of oldestFirst) {
      for (const oid of transaction.lockless) {
        const partition = partitionOf(oid, partitions);
        if (!this.#replicated.has(partition)) continue;
        // One that has ended is about to release what it has.
        const owner = owners.get(oid) ?? locks.get(oid)?.owner ?? null;
        const shared = owner !== null && owner !== transaction && !owner.ended;
        // What has voted can't be withdrawn any more.
        if (shared || transaction.keepsLocks) candidates.delete(partition);
        owners.set(oid, transaction);
      }
    }
    const round = {};
    const checks = new Map<number, Promise<boolean>[]>();
    for (const partition of candidates.keys()) {
      this.#replicated.delete(partition);
      this.#checked.set(partition, round);
      checks.set(partition, []);
    }
    for (const [oid, transaction] of owners) {
      const ongoing = checks.get(partitionOf(oid, partitions));
      if (ongoing !== undefined) transaction.lockless.delete(oid);
      locks.give(oid, transaction, ongoing === undefined);
      ongoing?.push(this.#check(transaction, oid));
    }
    for (const [partition, tid] of candidates) {
      const ongoing = checks.get(partition) ?? [];
      if (ongoing.length === 0) this.events.done(partition, tid);
      else this.events.watch(this.#finish(partition, tid, round, ongoing));
    }
  }

  /** Tells the master, unless the cell has changed since, or a writer has voted meanwhile. */
  async #finish(
    partition: number,
    tid: Tid,
    round: object,
    checks: readonly Promise<boolean>[],
  ): Promise<void> {
    const results = await Promise.all(checks);
    if (this.#checked.get(partition) !== round) return;
    if (results.every((passed) => passed)) return this.events.done(partition, tid);
    this.#checked.delete(partition);
    this.#replicated.set(partition, tid);
    this.#evaluate();
  }

  /**
   * Checks a write that was accepted without lock, and that has the lock now.
   *
   * @returns whether its cell may be read by those who rely on it. If not, the transaction may commit
   * what conflicts, unless others refuse it: its end has to be waited for.
   */
  async #check(transaction: Transaction, oid: Oid): Promise<boolean> {
    const { locks } = this.transactions;
    const serial = await this.database.lastSerial(oid);
    if (transaction.ended || locks.get(oid)?.owner !== transaction) return true;
    const base = transaction.objects.get(oid)?.base;
    if (serial === null || base === undefined || serial <= base) {
      if (serial !== null && base !== undefined && serial !== base) {
        this.log.error(
          `${hexId(transaction.ttid)} modified ${hexId(base)} of oid ${hexId(oid)}, ` +
            `of which this node has ${hexId(serial)}`,
        );
      }
      locks.settle(oid, transaction);
      return true;
    }
    if (transaction.keepsLocks) {
      transaction.lockless.add(oid);
      locks.settle(oid, transaction);
      return false;
    }
    // Other cells report the conflict, and the client will store again. If they leave before they can,
    // as the partition was moved here, the vote fails.
    this.transactions.withdraw(transaction, oid, serial);
    locks.release(oid, transaction);
    return true;
  }

  /** Lines for logs. */
  *dump(): Iterable<string> {
    const { size } = this.#replicating;
    yield `${size} cells accept writes without lock, ` +
      `${this.#replicated.size} wait for transactions that did so`;
  }
}
