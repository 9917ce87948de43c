/**
 * The transactions of a node in operation: registration, two-phase commit, abort.
 *
 * Everything changes in memory at once, in the order of the messages. The database keeps that same
 * order, so that only answers wait for it.
 *
 * @module
 */

import type { Request } from "../network/handler.ts";
import { Refusal } from "../network/handler.ts";
import { errorText, type Log } from "../network/log.ts";
import type { BeginSpan } from "../network/tracer.ts";
import { ErrorCode } from "../protocol/enums.ts";
import { hexId, type Oid, type Tid } from "../protocol/ids.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";
import type {
  Database,
  DataId,
  PackRequest,
  StoredObject,
  TransactionMetadata,
} from "./database/database.ts";
import { answerFailure, violation } from "./failure.ts";
import { WriteLocks } from "./locks.ts";
import { ReadLocks } from "./read_locks.ts";
import { Transaction, type TransactionOwner, Vote } from "./transaction.ts";

/** Transactions that one connection may have at the same time. */
export const MAX_TRANSACTIONS = 10_000;
/** Aborted transactions that are remembered, for what arrives after their abort. */
export const MAX_ABORTED = 4096;
/** Oids of a transaction, and of a pack order. */
export const MAX_OIDS = (1 << 21) - 1;

/** Receives what a promise of the database comes to when nobody waits for it. */
export type Watch = (promise: Promise<unknown>) => void;

/** What vote and lock answer to. */
type VoteRequest = Request<"AskStoreTransaction"> | Request<"AskVoteTransaction">;

/** All the transactions that are not finished. */
export class Transactions {
  readonly locks = new WriteLocks();
  readonly readLocks = new ReadLocks();
  /** Called when a transaction has ended, before its locks are released. */
  onReleased: (transaction: Transaction) => void = () => {};
  readonly #log: Log;
  readonly #database: Database;
  readonly #watch: Watch;
  /** `null` if nobody wants to know what is done for transactions. */
  readonly #span: BeginSpan | null;
  readonly #transactions = new Map<Tid, Transaction>();
  /** Each with its client where it is known, in the order of the aborts. */
  readonly #aborted = new Map<Tid, Nid | null>();

  constructor(log: Log, database: Database, watch: Watch, span: BeginSpan | null = null) {
    this.#log = log;
    this.#database = database;
    this.#watch = watch;
    this.#span = span;
  }

  /** A transaction that is not finished. */
  find(ttid: Tid): Transaction | undefined {
    return this.#transactions.get(ttid);
  }

  /** All of them, for logs. */
  list(): Iterable<Transaction> {
    return this.#transactions.values();
  }

  /**
   * The transaction of a request, which is registered on first sight; `null` if it was aborted.
   *
   * The master tells storages about an abort itself, so that what a client sent before may arrive
   * after. Registering it again would keep locks for nobody.
   *
   * @throws {Refusal} if it is that of another client, or there are too many.
   */
  register(ttid: Tid, client: TransactionOwner): Transaction | null {
    const known = this.#transactions.get(ttid);
    if (known !== undefined) {
      this.checkOwner(known, client);
      return known;
    }
    if (this.#aborted.has(ttid)) return null;
    if (client.transactions.size >= MAX_TRANSACTIONS) {
      throw violation(`more than ${MAX_TRANSACTIONS} transactions at the same time`);
    }
    const transaction = new Transaction(ttid, client);
    this.#transactions.set(ttid, transaction);
    client.transactions.add(transaction);
    return transaction;
  }

  /** @throws {Refusal} if a transaction was begun by another client. */
  checkOwner({ client: { nid } }: Transaction, client: TransactionOwner): void {
    if (nid !== client.nid) throw violation(`the transaction belongs to ${nodeName(nid)}`);
  }

  /** Something is stored or checked. */
  storing(transaction: Transaction): void {
    if (this.#span !== null) transaction.storing ??= this.#span("store", transaction.ttid);
  }

  /** A store or a check was answered: a vote may have waited for that. */
  requestDone(transaction: Transaction): void {
    const { waitingVote } = transaction;
    if (waitingVote === null || transaction.requests.size > 0) return;
    transaction.waitingVote = null;
    waitingVote.execute();
  }

  // First phase

  /** A vote with the metadata of the transaction. */
  storeTransaction(
    client: TransactionOwner,
    args: ArgsOf<"AskStoreTransaction">,
    from: Request<"AskStoreTransaction">,
  ): void {
    const { ttid, user, description, extension, oids, pack } = args;
    checkCount(oids, "a transaction");
    if (pack !== null && pack.oids !== null) checkCount(pack.oids, "a pack order");
    const transaction = this.register(ttid, client);
    if (transaction === null) throw abortedTransaction(ttid);
    this.#vote(transaction, from, { user, description, extension, oids }, pack);
  }

  /** A vote on a node that has nothing but objects of the transaction. */
  voteTransaction(
    client: TransactionOwner,
    { ttid }: ArgsOf<"AskVoteTransaction">,
    from: Request<"AskVoteTransaction">,
  ): void {
    const transaction = this.#transactions.get(ttid);
    if (transaction === undefined) {
      if (this.#aborted.has(ttid)) throw abortedTransaction(ttid);
      throw violation(`unknown transaction ${hexId(ttid)}`);
    }
    this.checkOwner(transaction, client);
    this.#vote(transaction, from, null, null);
  }

  #vote(
    transaction: Transaction,
    from: VoteRequest,
    metadata: TransactionMetadata | null,
    pack: PackRequest | null,
  ): void {
    if (transaction.keepsLocks) throw violation("the transaction has voted already");
    const execute = () => this.#execute(transaction, from, metadata, pack);
    if (transaction.requests.size === 0) return execute();
    const cancel = () => answerFailure(this.#log, from, abortedTransaction(transaction.ttid));
    transaction.waitingVote = { execute, cancel };
  }

  #execute(
    transaction: Transaction,
    from: VoteRequest,
    metadata: TransactionMetadata | null,
    pack: PackRequest | null,
  ): void {
    const { ttid } = transaction;
    for (const [oid, { checked, store }] of transaction.objects) {
      if (checked || store !== null) continue;
      const text = `oid ${hexId(oid)} of ${hexId(ttid)} could not be stored`;
      return answerFailure(this.#log, from, new Refusal(ErrorCode.INCOMPLETE_TRANSACTION, text));
    }
    transaction.vote = metadata === null ? Vote.OBJECTS : Vote.METADATA;
    transaction.voted = storedObjects(transaction);
    endStores(transaction);
    const span = this.#span?.("vote", ttid) ?? null;
    span?.set("neo.oids", transaction.voted.length);
    this.#database.vote(ttid, transaction.voted, metadata, pack).then(() => {
      transaction.durable = true;
      if (transaction.ended) throw abortedTransaction(ttid);
      from.answer({});
      span?.end();
    }).catch((error) => {
      span?.end(errorText(error));
      // What can't be stored was not: the transaction is still there to be aborted.
      if (!transaction.durable) transaction.vote = Vote.NONE;
      answerFailure(this.#log, from, error);
    });
  }

  // Second phase

  /** The master has decided to commit: from now on, only it can tell the end. */
  lock(
    { ttid, tid, pack }: ArgsOf<"AskLockInformation">,
    from: Request<"AskLockInformation">,
  ): void {
    const transaction = this.#transactions.get(ttid);
    // Nothing the master could know: clients must not finish before they have all votes.
    if (transaction === undefined || transaction.vote === Vote.NONE) {
      throw new Refusal(ErrorCode.INCOMPLETE_TRANSACTION, `${hexId(ttid)} has not voted`);
    }
    if (transaction.tid !== null) throw violation(`${hexId(ttid)} is locked already`);
    if (tid < ttid) throw violation(`tid ${hexId(tid)} is before ttid ${hexId(ttid)}`);
    transaction.tid = tid;
    this.readLocks.lock(transaction);
    const span = this.#span?.("lock", ttid) ?? null;
    span?.set("neo.tid", hexId(tid));
    const answer = () => {
      span?.end();
      // After the end of the operation, the master would not know what it is about.
      if (!transaction.ended) from.answer({ ttid });
    };
    const fail = (error: unknown) => {
      span?.end(errorText(error));
      answerFailure(this.#log, from, error);
    };
    if (transaction.vote === Vote.METADATA) {
      this.#database.lock(ttid, tid, pack).then(answer, fail);
    } else if (transaction.durable) answer();
    // The client did not wait for the answer to its vote.
    else this.#database.flush().then(answer, fail);
  }

  /** The transaction is committed everywhere. */
  unlock({ ttid }: ArgsOf<"NotifyUnlockInformation">): void {
    const transaction = this.#transactions.get(ttid);
    if (transaction === undefined) throw violation(`unknown transaction ${hexId(ttid)}`);
    const { tid, voted, vote } = transaction;
    if (tid === null) throw violation(`${hexId(ttid)} is not locked`);
    const span = this.#span?.("unlock", ttid) ?? null;
    span?.set("neo.tid", hexId(tid));
    this.#database.unlock(ttid, tid, voted, vote === Vote.METADATA);
    this.#release(transaction);
    span?.end();
  }

  // Abort

  /**
   * Aborts a transaction, unless it is locked or unknown. One that is unknown yet is remembered if
   * `expected` tells that messages of it may still arrive.
   */
  abort(ttid: Tid, expected: boolean): void {
    const transaction = this.#transactions.get(ttid);
    if (transaction !== undefined) this.#abort(transaction);
    else if (expected) this.#rememberAborted(ttid, null);
  }

  /** The connection of a client is lost: it can't take part in avoiding deadlocks any more. */
  connectionLost(client: TransactionOwner): void {
    for (const transaction of [...client.transactions]) {
      if (transaction.vote === Vote.NONE) this.#abort(transaction);
    }
  }

  /**
   * The master says that a client is gone: nobody will finish what is not locked. Nothing more of it
   * can arrive, so that another one may begin its transactions again: an import that was interrupted
   * continues with the same tid.
   */
  clientGone(nid: Nid): void {
    for (const transaction of [...this.#transactions.values()]) {
      if (transaction.client.nid === nid) this.#abort(transaction);
    }
    for (const [ttid, client] of this.#aborted) {
      if (client === nid || client === null) this.#aborted.delete(ttid);
    }
  }

  #abort(transaction: Transaction): void {
    if (transaction.tid !== null) return;
    const { ttid, vote, voted, client } = transaction;
    this.#rememberAborted(ttid, client.nid);
    transaction.ended = true;
    endStores(transaction, "aborted");
    if (vote === Vote.NONE) this.#releaseData(storedObjects(transaction));
    else this.#watch(this.#database.abort(ttid, dataOf(voted)));
    this.#release(transaction);
  }

  #rememberAborted(ttid: Tid, client: Nid | null): void {
    this.#aborted.set(ttid, client);
    if (this.#aborted.size <= MAX_ABORTED) return;
    for (const oldest of this.#aborted.keys()) {
      this.#aborted.delete(oldest);
      break;
    }
  }

  #releaseData(objects: readonly StoredObject[]): void {
    const ids = dataOf(objects);
    if (ids.length > 0) this.#database.releaseData(ids);
  }

  /** Forgets a transaction, then lets those who wait for it go on: reads first, then writes. */
  #release(transaction: Transaction): void {
    const { ttid, requests, objects, waitingVote } = transaction;
    transaction.ended = true;
    transaction.waitingVote = null;
    this.#transactions.delete(ttid);
    transaction.leaveClient();
    this.readLocks.unlock(transaction);
    for (const request of [...requests]) request.cancel();
    waitingVote?.cancel();
    this.onReleased(transaction);
    for (const oid of objects.keys()) this.locks.release(oid, transaction);
  }

  /**
   * Undoes a store or a check, which is not based on the last revision, `current`. The transaction can
   * vote again once its client has stored the object on top of that.
   */
  withdraw(transaction: Transaction, oid: Oid, current: Tid): void {
    const entry = transaction.objects.get(oid);
    if (entry === undefined) return;
    const { store } = entry;
    transaction.set(oid, { ...entry, base: current, checked: false, store: null });
    if (store !== null) this.#releaseData([store]);
  }

  // Partition table

  /** Partitions are not on this node any more, or not usable: their objects are forgotten. */
  discard(partitions: ReadonlySet<number>, discarded: (oid: Oid) => boolean): void {
    this.#database.cells.discardUnfinished(partitions);
    const locked: [Oid, Transaction][] = [];
    for (const transaction of this.#transactions.values()) {
      this.readLocks.discard(transaction, discarded);
      for (const [oid, { store }] of [...transaction.objects]) {
        if (!discarded(oid)) continue;
        transaction.remove(oid);
        // The database has released what was voted.
        if (transaction.vote === Vote.NONE && store !== null) this.#releaseData([store]);
        locked.push([oid, transaction]);
      }
      transaction.voted = transaction.voted.filter(({ oid }) => !discarded(oid));
    }
    // Not before: this ends requests, and a vote may have waited for the last one.
    for (const [oid, transaction] of locked) this.locks.release(oid, transaction);
    for (const { requests } of this.#transactions.values()) {
      for (const request of [...requests]) if (discarded(request.oid)) request.cancel();
    }
    this.readLocks.serve();
  }

  /**
   * The end of the operation. What was voted stays in the database, for the verification to come; it
   * lets the rest go.
   */
  stop(): void {
    for (const transaction of this.#transactions.values()) {
      transaction.ended = true;
      // The requests it waits for may be answered when another operation has begun.
      transaction.waitingVote = null;
      if (transaction.vote === Vote.NONE) this.#releaseData(storedObjects(transaction));
    }
    this.#transactions.clear();
  }
}

/** No more stores. */
function endStores(transaction: Transaction, failure?: string): void {
  const { storing, objects } = transaction;
  if (storing === null) return;
  transaction.storing = null;
  storing.set("neo.oids", objects.size);
  storing.end(failure);
}

/** What a transaction stored so far. */
function storedObjects({ objects }: Transaction): StoredObject[] {
  const stored: StoredObject[] = [];
  for (const { store } of objects.values()) if (store !== null) stored.push(store);
  return stored;
}

function dataOf(objects: readonly StoredObject[]): DataId[] {
  const ids: DataId[] = [];
  for (const { dataId } of objects) if (dataId !== null) ids.push(dataId);
  return ids;
}

function checkCount(oids: readonly Oid[], what: string): void {
  if (oids.length > MAX_OIDS) throw violation(`${what} can't have more than ${MAX_OIDS} oids`);
}

function abortedTransaction(ttid: Tid): Refusal {
  return new Refusal(ErrorCode.INCOMPLETE_TRANSACTION, `${hexId(ttid)} was aborted`);
}
