/**
 * Stores and checks of objects: taking write locks, checking for conflicts, avoiding deadlocks.
 *
 * A lock is taken at once, which fixes the order of transactions, and conflicts are checked with the
 * database while it is held. Until that request is answered nobody is told anything about the lock,
 * others simply wait.
 *
 * @module
 */

import type { Command, Request } from "../network/handler.ts";
import type { Log } from "../network/log.ts";
import { hexId, type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import { type Cells, WriteMode } from "./cells.ts";
import { isNoData } from "./checksum.ts";
import type { Client } from "./client.ts";
import type { Database, DataId, ObjectData } from "./database/database.ts";
import { answerFailure, violation } from "./failure.ts";
import type { LockRequest } from "./locks.ts";
import {
  MAX_OBJECTS,
  type ObjectEntry,
  type PendingWrite,
  type Transaction,
} from "./transaction.ts";
import type { Transactions } from "./transactions.ts";

/** What a request does with its object. */
type Action =
  | { readonly kind: "store"; readonly data: ObjectData | null; readonly dataSerial: Tid | null }
  | { readonly kind: "check" }
  | { readonly kind: "relock" };

/** What a relock gives back when another transaction modified the object. */
type RelockConflict = {
  readonly serial: Tid;
  readonly conflict: Tid;
  readonly data: ObjectData | null;
};

/** How a request is answered; `conflict` is only about stores and checks. */
interface Reply {
  readonly from: Command;
  conflict(serial: Tid | null): void;
  relock(conflict: RelockConflict | null): void;
}

/** A store, a check or a relock that is not answered yet. */
class WriteRequest implements LockRequest, PendingWrite {
  /** Nothing is to be answered any more. */
  done = false;
  /** Whether it is in the queue of the lock. */
  waiting = false;
  /** Whether the lock is in its hands, and must be settled or released at the end. */
  holding = false;

  constructor(
    readonly writes: Writes,
    readonly transaction: Transaction,
    readonly oid: Oid,
    readonly base: Tid,
    readonly action: Action,
    readonly reply: Reply,
    readonly client: Client,
  ) {}

  /** Bytes held in memory. */
  get bytes(): number {
    return this.action.kind === "store" ? this.action.data?.data.length ?? 0 : 0;
  }

  retry(): boolean {
    return this.writes.retry(this);
  }

  cancel(): void {
    this.writes.cancel(this);
  }
}

/** Executes stores, checks and relocks. */
export class Writes {
  /** How many stores, checks and relocks found that another transaction had changed the object. */
  conflicts = 0;

  constructor(
    readonly log: Log,
    readonly database: Database,
    readonly cells: Cells,
    readonly transactions: Transactions,
  ) {}

  /** A store, whose data has been verified. */
  store(client: Client, args: ArgsOf<"AskStoreObject">, from: Request<"AskStoreObject">): void {
    const { oid, serial, compression, checksum, data, dataSerial, ttid } = args;
    const stored = isNoData(args) ? null : { compression, checksum, data };
    const action: Action = { kind: "store", data: stored, dataSerial };
    this.#begin(client, ttid, oid, serial, action, conflictReply(from));
  }

  /** A check that a revision is the last one. */
  check(
    client: Client,
    { ttid, oid, serial }: ArgsOf<"AskCheckCurrentSerial">,
    from: Request<"AskCheckCurrentSerial">,
  ): void {
    this.#begin(client, ttid, oid, serial, { kind: "check" }, conflictReply(from));
  }

  /** The reaction of a client to `NotifyDeadlock`. */
  relock(
    client: Client,
    { ttid, oid }: ArgsOf<"AskRelockObject">,
    from: Request<"AskRelockObject">,
  ): void {
    const transaction = this.transactions.find(ttid);
    const entry = transaction?.objects.get(oid);
    // Aborted, or the partition is not here any more.
    if (transaction === undefined || entry === undefined) return from.answer({ conflict: null });
    this.transactions.checkOwner(transaction, client);
    if (!entry.deadlock) throw violation("no deadlock was notified for this object");
    if (transaction.keepsLocks) throw violation("the transaction has voted");
    entry.deadlock = false;
    const reply: Reply = {
      from,
      conflict: () => {},
      relock: (conflict) => from.answer({ conflict }),
    };
    const request = new WriteRequest(
      this,
      transaction,
      oid,
      entry.base,
      { kind: "relock" },
      reply,
      client,
    );
    transaction.requests.add(request);
    // Older transactions that wait come first.
    this.transactions.locks.release(oid, transaction);
    this.#start(request);
  }

  #begin(
    client: Client,
    ttid: Tid,
    oid: Oid,
    base: Tid,
    action: Action,
    reply: Reply,
  ): void {
    const transaction = this.transactions.register(ttid, client);
    if (transaction === null) return reply.conflict(ZERO_TID);
    if (transaction.keepsLocks) throw violation("the transaction has voted");
    this.transactions.storing(transaction);
    const request = new WriteRequest(this, transaction, oid, base, action, reply, client);
    transaction.requests.add(request);
    this.#start(request);
  }

  /** First attempt. */
  #start(request: WriteRequest): void {
    if (this.#attempt(request)) return;
    try {
      request.client.flow.delayed(request.bytes);
    } catch (error) {
      this.#fail(request, error);
      return;
    }
    request.waiting = true;
    this.transactions.locks.wait(request);
  }

  /** For the queue of the lock. */
  retry(request: WriteRequest): boolean {
    if (!this.#attempt(request)) return false;
    this.#stopWaiting(request);
    return true;
  }

  /** Takes the lock if possible. Returns whether the request waits for the lock no longer. */
  #attempt(request: WriteRequest): boolean {
    const { transaction, oid } = request;
    const mode = this.cells.writeMode(oid);
    if (mode === WriteMode.NONE) {
      this.cancel(request);
      return true;
    }
    if (mode === WriteMode.LOCKLESS) {
      this.#accept(request, true);
      return true;
    }
    const { locks } = this.transactions;
    const lock = locks.get(oid);
    const owner = lock?.owner ?? null;
    if (lock === undefined || owner === null) {
      locks.take(oid, transaction);
      request.holding = true;
      this.database.lastSerial(oid)
        .then((serial) => this.#checked(request, serial))
        .catch((error) => this.#fail(request, error));
      return true;
    }
    if (!lock.settled) return false;
    const { ttid, lockless } = transaction;
    if (owner !== transaction && (owner.ttid < ttid || owner.keepsLocks)) return false;
    if (lockless.has(oid) || owner.lockless.has(oid)) {
      // Each of those who wrote without lock waits for none of the others.
      this.#accept(request, true);
      return true;
    }
    if (owner === transaction) {
      // No check: nobody else can have modified it.
      const own = transaction.objects.get(oid);
      const current = own === undefined ? null : ownRevision(own, request.base);
      if (current !== null) {
        request.reply.conflict(current);
        this.#finish(request);
      } else {
        locks.unsettle(oid, transaction);
        request.holding = true;
        // If the lock is given back and taken again, what it was taken for must not have changed.
        this.#accept(request, false, own?.base);
      }
      return true;
    }
    this.#notifyDeadlock(owner, oid);
    return false;
  }

  /** Asks the owner of a lock to let an older transaction pass, once. */
  #notifyDeadlock(owner: Transaction, oid: Oid): void {
    const entry = owner.objects.get(oid);
    if (entry === undefined || entry.deadlock) return;
    entry.deadlock = true;
    owner.client.connection.notify("NotifyDeadlock", { ttid: owner.ttid, oid });
  }

  #checked(request: WriteRequest, serial: Tid | null): void {
    if (request.done) return; // The lock is gone with the transaction.
    const { action, base } = request;
    if (serial === null || serial === base) this.#accept(request, false);
    else if (serial > base || action.kind !== "relock") this.#conflict(request, serial);
    else {
      const text = `the last revision is ${hexId(serial)}, nothing can be based on ${hexId(base)}`;
      this.#fail(request, violation(text));
    }
  }

  /**
   * The object was modified by another transaction. A former store of it remains.
   *
   * The lock is released, so that those who wait learn about their conflicts at the same time. But a
   * client that was told once keeps it from then on: if resolving takes it some time, others would
   * always be faster.
   */
  #conflict(request: WriteRequest, serial: Tid): void {
    this.conflicts++;
    const { transaction, oid, action, reply } = request;
    const entry = transaction.objects.get(oid);
    if (action.kind !== "relock") {
      reply.conflict(serial);
      if (!this.#keepsLock(request, serial)) this.#release(request);
      return this.#finish(request);
    }
    // The client has to resolve: it gets its data back, and the store is undone. The lock is kept until
    // then, so that what the client stores next is answered next.
    const dataId = entry?.store?.dataId ?? null;
    const withdraw = (data: ObjectData | null) => {
      if (request.done) return; // All was released with the transaction.
      transaction.remove(oid);
      if (dataId !== null) this.database.releaseData([dataId]);
      reply.relock({ serial: request.base, conflict: serial, data });
      this.#finish(request);
    };
    if (dataId === null) return withdraw(null);
    this.database.loadData(dataId).then(withdraw).catch((error) => this.#fail(request, error));
  }

  /** Counts a conflict. Returns whether the client may resolve it without losing the lock. */
  #keepsLock({ transaction, oid, action }: WriteRequest, serial: Tid): boolean {
    if (action.kind !== "store") return false;
    const entry = transaction.objects.get(oid);
    const { store = null, deadlock = false, conflicts = 0, checked = false } = entry ?? {};
    if (checked) return false;
    const told = { base: serial, checked, store, deadlock, conflicts: conflicts + 1 };
    return transaction.set(oid, told) && conflicts > 0;
  }

  #accept(request: WriteRequest, lockless: boolean, base: Tid = request.base): void {
    const { transaction, oid, action } = request;
    if (action.kind === "relock") {
      request.reply.relock(null);
      return this.#finish(request);
    }
    const former = transaction.objects.get(oid);
    const checked = action.kind === "check";
    if (former !== undefined && (checked || former.checked)) {
      return this.#fail(
        request,
        violation("an object can't be both stored and checked, nor checked twice"),
      );
    }
    const deadlock = former?.deadlock ?? false;
    const conflicts = former?.conflicts ?? 0;
    const entry: ObjectEntry = { base, checked, store: null, deadlock, conflicts };
    if (!transaction.set(oid, entry)) {
      const text = `transactions of one client can't have more than ${MAX_OBJECTS} objects at once`;
      return this.#fail(request, violation(text));
    }
    if (lockless) transaction.lockless.add(oid);
    else transaction.lockless.delete(oid);
    const formerId = former?.store?.dataId ?? null;
    if (formerId !== null) this.database.releaseData([formerId]);
    if (action.kind === "check") return this.#accepted(request, lockless);
    this.#hold(request.client, oid, action.data, action.dataSerial).then((dataId) => {
      const wanted = transaction.objects.get(oid) === entry && !transaction.ended;
      if (wanted) entry.store = { oid, dataId, dataSerial: action.dataSerial };
      else if (dataId !== null) this.database.releaseData([dataId]);
      if (!request.done) this.#accepted(request, lockless);
    }).catch((error) => this.#fail(request, error));
  }

  /** Gives the data to the database, or finds that of the revision that an undo restores. */
  #hold(
    client: Client,
    oid: Oid,
    data: ObjectData | null,
    dataSerial: Tid | null,
  ): Promise<DataId | null> {
    if (dataSerial !== null) {
      return this.database.shareData(oid, dataSerial).then((id) =>
        // Cells that lack the revision use what the client sent.
        id === undefined ? this.#hold(client, oid, data, null) : id
      );
    }
    if (data === null) return Promise.resolve(null);
    client.flow.stored(data.data.length);
    return this.database.storeData(oid, data);
  }

  #accepted(request: WriteRequest, lockless: boolean): void {
    request.reply.conflict(lockless ? ZERO_TID : null);
    this.#finish(request);
  }

  #fail(request: WriteRequest, error: unknown): void {
    if (!request.done) answerFailure(this.log, request.reply.from, error);
    this.#finish(request);
  }

  /** Nothing is to be stored any more: the transaction has ended, or the object is not here. */
  cancel(request: WriteRequest): void {
    if (request.done) return;
    if (request.action.kind === "relock") request.reply.relock(null);
    else request.reply.conflict(ZERO_TID);
    this.#finish(request);
  }

  #finish(request: WriteRequest): void {
    if (request.done) return;
    request.done = true;
    const { transaction, oid } = request;
    if (request.waiting) {
      this.#stopWaiting(request);
      this.transactions.locks.cancelled(oid);
    }
    transaction.requests.delete(request);
    if (transaction.ended || !transaction.objects.has(oid)) this.#release(request);
    else if (request.holding) {
      request.holding = false;
      this.transactions.locks.settle(oid, transaction);
    }
    this.transactions.requestDone(transaction);
  }

  #release(request: WriteRequest): void {
    if (!request.holding) return;
    request.holding = false;
    this.transactions.locks.release(request.oid, request.transaction);
  }

  #stopWaiting(request: WriteRequest): void {
    if (!request.waiting) return;
    request.waiting = false;
    request.client.flow.undelayed(request.bytes);
  }
}

/**
 * What a store of a transaction that has the lock must be based on, if that is not `base`: the revision
 * of a conflict that it was told and did not resolve, or what it restored itself by an undo. Where
 * another replica knows a later revision, this node missed it, and is about to be disconnected.
 */
function ownRevision(own: ObjectEntry, base: Tid): Tid | null {
  if (own.checked || base > own.base) return null;
  const current = own.store === null ? own.base : own.store.dataSerial;
  return current === base ? null : current;
}

function conflictReply(
  from: Request<"AskStoreObject"> | Request<"AskCheckCurrentSerial">,
): Reply {
  return { from, conflict: (conflict) => from.answer({ conflict }), relock: () => {} };
}
