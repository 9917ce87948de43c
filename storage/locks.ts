/**
 * Write locks on objects, and the requests that wait for them.
 *
 * The oldest transaction, the one with the smallest ttid, has priority: requests that wait for an
 * object are served by increasing ttid, and in the order of arrival for the same ttid.
 *
 * @module
 */

import type { Oid } from "../protocol/ids.ts";
import type { Transaction } from "./transaction.ts";

/** A request that waits for a lock. */
export interface LockRequest {
  readonly oid: Oid;
  readonly transaction: Transaction;
  /** Whether it still waits: it may have been cancelled. */
  readonly waiting: boolean;
  /** Tries again. Returns whether it waits no longer, with or without the lock. */
  retry(): boolean;
}

/** The lock of one object. */
export interface WriteLock {
  /** The transaction that has it, `null` while it is free. */
  readonly owner: Transaction | null;
  /** Whether the request that took the lock is answered: conflicts are checked after taking it. */
  readonly settled: boolean;
}

class Lock implements WriteLock {
  owner: Transaction | null = null;
  settled = false;
  /** By increasing ttid, with some that do not wait any more. */
  waiting: LockRequest[] = [];
  /** How many of them do not wait. */
  cancelled = 0;
  /** The queue is being run. */
  running = false;
  /** The queue has to be run again from its beginning. */
  again = false;
}

/** One pass over the requests that wait. */
function retryAll(lock: Lock): void {
  const { waiting } = lock;
  let next = 0;
  let kept = 0;
  for (; next < waiting.length && !lock.again; next++) {
    const request = waiting[next];
    if (request === undefined || hopeless(lock, request)) break;
    if (request.waiting && !request.retry()) waiting[kept++] = request;
  }
  waiting.splice(kept, next - kept);
  lock.cancelled = 0;
  for (const request of waiting) if (!request.waiting) lock.cancelled++;
}

/** Whether a request, and thus all those after it, can only go on waiting. */
function hopeless({ owner, settled }: Lock, { transaction: { ttid } }: LockRequest): boolean {
  return owner !== null && (!settled || owner.ttid < ttid);
}

/** The write locks of a node. */
export class WriteLocks {
  readonly #locks = new Map<Oid, Lock>();

  /** Number of objects that are locked or waited for. */
  get size(): number {
    return this.#locks.size;
  }

  /** The lock of an object, if somebody has it or waits for it. */
  get(oid: Oid): WriteLock | undefined {
    return this.#locks.get(oid);
  }

  /** Gives a free lock to a transaction, which has to check for conflicts and then `settle`. */
  take(oid: Oid, owner: Transaction): void {
    const lock = this.#ensure(oid);
    if (lock.owner !== null) throw new Error("the lock is not free");
    lock.owner = owner;
    lock.settled = false;
  }

  /** Gives a lock to a transaction that wrote without, whoever has it. */
  give(oid: Oid, owner: Transaction, settled: boolean): void {
    const lock = this.#ensure(oid);
    lock.owner = owner;
    lock.settled = settled;
    if (lock.waiting.length > 0) this.#run(oid, lock);
  }

  /** The request that took the lock was answered. Those who wait may ask for it from now on. */
  settle(oid: Oid, owner: Transaction): void {
    const lock = this.#locks.get(oid);
    if (lock?.owner !== owner || lock.settled) return;
    lock.settled = true;
    if (lock.waiting.length > 0) this.#run(oid, lock);
  }

  /** The owner changes what it does to the object: others have to wait for the answer again. */
  unsettle(oid: Oid, owner: Transaction): void {
    const lock = this.#locks.get(oid);
    if (lock?.owner === owner) lock.settled = false;
  }

  /** Frees a lock if that transaction has it, and serves those who wait. */
  release(oid: Oid, owner: Transaction): void {
    const lock = this.#locks.get(oid);
    if (lock?.owner !== owner) return;
    lock.owner = null;
    this.#run(oid, lock);
  }

  /** Makes a request wait, at its place. It is retried each time that the lock changes. */
  wait(request: LockRequest): void {
    const { waiting } = this.#ensure(request.oid);
    const { ttid } = request.transaction;
    let low = 0;
    let high = waiting.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((waiting[middle]?.transaction.ttid ?? ttid) <= ttid) low = middle + 1;
      else high = middle;
    }
    waiting.splice(low, 0, request);
  }

  /** A request does not wait any more. Its place is only freed with those of others. */
  cancelled(oid: Oid): void {
    const lock = this.#locks.get(oid);
    if (lock === undefined || ++lock.cancelled * 2 <= lock.waiting.length || lock.running) return;
    lock.waiting = lock.waiting.filter(({ waiting }) => waiting);
    lock.cancelled = 0;
    this.#dropIfUnused(oid, lock);
  }

  #ensure(oid: Oid): Lock {
    let lock = this.#locks.get(oid);
    if (lock === undefined) this.#locks.set(oid, lock = new Lock());
    return lock;
  }

  /**
   * Retries in order. What changes meanwhile makes it start again, so that the order holds. Nobody
   * who waits is added meanwhile.
   */
  #run(oid: Oid, lock: Lock): void {
    lock.again = true;
    if (lock.running) return;
    lock.running = true;
    try {
      while (lock.again) {
        lock.again = false;
        retryAll(lock);
      }
    } finally {
      lock.running = false;
      this.#dropIfUnused(oid, lock);
    }
  }

  #dropIfUnused(oid: Oid, lock: Lock): void {
    if (lock.owner === null && lock.waiting.length === 0 && !lock.running) this.#locks.delete(oid);
  }
}
