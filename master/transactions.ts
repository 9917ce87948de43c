/**
 * The two-phase commit, as its coordinator.
 *
 * Clients write to storages and have them vote; from then on the master drives: it allocates the final
 * tid, has all storages involved lock, and once they have, in the order of tids, tells everybody and
 * has them unlock.
 *
 * @module
 */

import type { Environment } from "../network/environment.ts";
import { type Command, ErrorAnswer, type Request } from "../network/handler.ts";
import { errorText } from "../network/log.ts";
import type { Node } from "../node/node_table.ts";
import { ErrorCode } from "../protocol/enums.ts";
import { ProtocolError } from "../protocol/errors.ts";
import { hexId, MAX_TID, type Oid, partitionOf, type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";
import { announceCommit, type AnnouncementContext } from "./commit_announcement.ts";
import type { DelayedRequests } from "./delayed.ts";
import type { PackOrders } from "./packs.ts";
import { checkFinish, violation } from "./finish_request.ts";
import { involvedStorages, type InvolvementContext } from "./involvement.ts";
import { LastIds } from "./last_ids.ts";
import { TidSource } from "./tid_source.ts";
import { Transaction } from "./transaction.ts";

/** Transactions that one client may have begun and not ended. */
export const MAX_TRANSACTIONS = 10_000;

/** What transactions depend on. */
export interface TransactionContext extends InvolvementContext, AnnouncementContext {
  readonly env: Environment;
  readonly delayed: DelayedRequests;
  readonly packs: PackOrders;
  /** This master. */
  readonly self: Node;
}

/** The transactions in progress, and the last ids. */
export class TransactionManager {
  readonly ids = new LastIds();
  /** Called when the last transaction in progress ended. */
  onIdle: () => void = () => {};
  readonly #context: TransactionContext;
  readonly #tids: TidSource;
  readonly #pending = new Map<Tid, Transaction>();
  /** How many of them each client has. */
  readonly #begun = new Map<Node, number>();
  /** Those that have a final tid, by increasing tid: they commit in this order. */
  #queue: Transaction[] = [];
  /** Outside of operation nothing is decided; verification does it later. */
  #open = false;

  constructor(context: TransactionContext) {
    this.#context = context;
    this.#tids = new TidSource(context.env, this.ids);
  }

  /** Number of transactions that were begun and are not finished. */
  get size(): number {
    return this.#pending.size;
  }

  /** Forgets everything; last ids are about to be learnt again. */
  reset(): void {
    this.#pending.clear();
    this.#begun.clear();
    this.#queue = [];
    this.ids.forget();
  }

  /** Operation starts. */
  open(): void {
    this.#open = true;
  }

  /** Operation stops: what is pending is neither acknowledged nor aborted. */
  close(): void {
    this.#open = false;
  }

  // Beginning

  /** `AskBeginTransaction`: answered when no storage is starting. */
  begin(client: Node, tid: Tid | null, from: Request<"AskBeginTransaction">): void {
    const { delayed, readiness, table } = this.#context;
    delayed.submit(from, () => {
      if (readiness.blocked) return false;
      const begun = this.#begun.get(client) ?? 0;
      if (begun >= MAX_TRANSACTIONS) {
        throw violation(`more than ${MAX_TRANSACTIONS} transactions at the same time`);
      }
      const ttid = tid === null ? this.#newTtid() : this.#impose(tid);
      const transaction = new Transaction(
        ttid,
        tid !== null,
        client,
        client.nid,
        readiness.counter,
        table.ptid ?? 0,
      );
      if (this.#pending.has(ttid)) throw new Error(`ttid ${hexId(ttid)} was allocated twice`);
      this.#pending.set(ttid, transaction);
      this.#begun.set(client, begun + 1);
      if (tid !== null) this.#queue.push(transaction);
      from.answer({ ttid });
      return true;
    });
  }

  /** A ttid was given by an earlier master. */
  known(ttid: Tid): void {
    this.#tids.known(ttid);
  }

  #newTtid(): Tid {
    const [only] = this.#pending.values();
    if (this.#pending.size === 1 && only?.imposed && only.tid === null) {
      throw violation("can't begin while a transaction with a given tid is in progress");
    }
    return this.#nextTid(null);
  }

  #impose(tid: Tid): Tid {
    if (this.#pending.size > 0) {
      throw violation("can't begin with a given tid while another transaction is in progress");
    }
    if (tid <= this.ids.lastTransaction) {
      throw violation(
        `the given tid ${hexId(tid)} must be greater than the last committed one, ` +
          hexId(this.ids.lastTransaction),
      );
    }
    if (tid >= MAX_TID) throw violation(`the given tid ${hexId(tid)} is too great`);
    return tid;
  }

  /** The greatest tid or ttid of what is committed or may be. */
  #lastUsed(): Tid {
    let last = this.ids.lastTransaction;
    for (const ttid of this.#pending.keys()) if (ttid > last) last = ttid;
    const queued = this.#queue.at(-1)?.tid ?? null;
    return queued !== null && queued > last ? queued : last;
  }

  #nextTid(ttid: Tid | null): Tid {
    const queued = this.#queue.at(-1)?.tid ?? ZERO_TID;
    return this.#tids.next(ttid, queued, this.#context.table.partitions);
  }

  // Voting

  /**
   * `FailedVote`: the client could not write to some storages. It may go on if the cluster can do
   * without them, and without those that other transactions want to do without.
   */
  failedVote(client: Node, { ttid, nids }: ArgsOf<"FailedVote">, from: Command): void {
    const transaction = this.#find(ttid, client);
    if (transaction.tid !== null) throw violation(`${hexId(ttid)} is already being finished`);
    const { delayed, readiness, table, running } = this.#context;
    const operationalWithout = (excluded: ReadonlySet<Nid>) =>
      table.operational((nid) => running(nid) && !excluded.has(nid));
    const refuse = () => from.error(ErrorCode.INCOMPLETE_TRANSACTION, INCOMPLETE);
    delayed.submit(from, () => {
      if (this.#pending.get(ttid) !== transaction) {
        refuse();
        return true;
      }
      // Others are not expected to have it: they start, or left and came back since it was begun.
      const failed = new Set(nids.filter((nid) => readiness.isReady(nid, transaction.counter)));
      if (failed.size > 0) {
        if (!operationalWithout(failed)) {
          refuse();
          return true;
        }
        const all = [...this.#pending.values()].flatMap((other) => [...other.failed]);
        if (!operationalWithout(new Set([...failed, ...all]))) return false;
      }
      transaction.failed = failed;
      from.error(ErrorCode.ACK);
      return true;
    });
  }

  // Finishing

  /** `AskFinishTransaction`: starts the second phase. */
  finish(
    client: Node,
    args: ArgsOf<"AskFinishTransaction">,
    from: Request<"AskFinishTransaction">,
  ): void {
    const transaction = this.#find(args.ttid, client);
    if (transaction.tid !== null) throw violation("commit already requested");
    checkFinish(args, this.#context.table.partitions);
    const { lastTransaction } = this.ids;
    const invalid = args.pack && this.#context.packs.refusal(args.pack, lastTransaction);
    if (invalid !== null) {
      // The client may well have thought of a pack that is possible: it is not cut off for that.
      transaction.refused = true;
      return from.error(ErrorCode.PROTOCOL_ERROR, invalid);
    }
    transaction.refused = false;
    const { table, running } = this.#context;
    const { failed, ttid } = transaction;
    if (failed.size > 0 && !table.operational((nid) => running(nid) && !failed.has(nid))) {
      from.error(ErrorCode.INCOMPLETE_TRANSACTION, INCOMPLETE);
      this.#abort(transaction, this.#context.readiness.started());
      return;
    }
    const partition = (id: Oid | Tid) => partitionOf(id, table.partitions);
    const modified = new Set([...args.oids.map(partition), ...args.deleted]);
    const touched = new Set([...modified, partition(ttid), ...args.checked]);
    this.#disconnectFailed(transaction, touched);
    // Doing so may stop the operation: the client gets no answer, and will ask for the final tid.
    if (!this.#open) return;

    const tid = transaction.imposed ? ttid : this.#nextTid(ttid);
    const involved = involvedStorages(this.#context, transaction, touched);
    const last = this.#queue.findLast((other) => other !== transaction)?.tid ?? ZERO_TID;
    if (tid <= last || tid <= this.ids.lastTransaction || partition(tid) !== partition(ttid)) {
      throw new Error(`tid ${hexId(tid)} can't follow ${hexId(last)}`);
    }
    if (!transaction.imposed) this.#queue.push(transaction);
    transaction.tid = tid;
    transaction.oids = args.oids;
    transaction.modified = [...modified];
    transaction.request = from;
    this.ids.stored(args.oids);
    transaction.trace(this.#context.env.tracer, this.#context.self.nid);
    if (args.pack !== null) transaction.packApproved = this.#context.packs.create(tid, args.pack);
    transaction.involve(involved);
    for (const nid of involved) this.#lock(transaction, tid, nid);
  }

  /**
   * Makes sure that storages that miss a part are known to be out of date before anything is locked:
   * after a crash, verification must not trust them.
   */
  #disconnectFailed({ failed }: Transaction, touched: ReadonlySet<number>): void {
    const { nodes } = this.#context;
    for (const nid of failed) {
      if ([...touched].every((partition) => this.#cellState(partition, nid) === null)) continue;
      nodes.get(nid)?.connection?.close();
    }
  }

  #cellState(partition: number, nid: Nid) {
    return this.#context.table.cellState(partition, nid);
  }

  #lock(transaction: Transaction, tid: Tid, nid: Nid): void {
    const { env, nodes } = this.#context;
    const { ttid } = transaction;
    const { connection = null } = nodes.get(nid) ?? {};
    const span = transaction.traceLock(nid);
    connection?.request(
      "AskLockInformation",
      { ttid, tid, pack: transaction.packApproved },
      (answer) => {
        span?.end();
        if (answer.ttid !== ttid) throw new ProtocolError(`${hexId(ttid)} was to be locked`);
        this.#locked(transaction, nid);
      },
      (error) => {
        span?.end(errorText(error));
        // A lost storage is reported by `storageLost`, when the table is up to date.
        if (!(error instanceof ErrorAnswer) || !this.#open) return;
        env.log.error(`${connection} can't lock ${hexId(ttid)}: ${error.message}`);
        transaction.unlockable.add(nid);
        this.#settleUnlockable(transaction);
      },
    );
  }

  #locked(transaction: Transaction, nid: Nid): void {
    // Late if operation stopped meanwhile.
    if (!this.#open || !transaction.locking.delete(nid)) return;
    this.#settleUnlockable(transaction);
    this.#commitLocked();
  }

  /**
   * Decides when all storages have answered that they locked, or that they can't. If none can, the
   * client asked to finish what it did not have voted: nobody can have committed it. Otherwise those
   * that can't miss a transaction.
   */
  #settleUnlockable(transaction: Transaction): void {
    const { asked, locking, request, tid, ttid, unlockable } = transaction;
    if (unlockable.size === 0 || unlockable.size < locking.size) return;
    if (unlockable.size < asked) {
      for (const nid of unlockable) this.#context.nodes.get(nid)?.connection?.close();
      return;
    }
    request?.error(
      ErrorCode.INCOMPLETE_TRANSACTION,
      `no storage can commit ${hexId(ttid)}: was it voted?`,
    );
    if (tid !== null) this.#context.packs.cancel(tid);
    this.#abort(transaction, locking);
    this.#commitLocked();
  }

  /** Commits what is locked everywhere, in the order of tids. */
  #commitLocked(): void {
    let committed = false;
    for (;;) {
      const transaction = this.#queue[0];
      if (transaction === undefined) break;
      const { tid, locking } = transaction;
      if (tid === null || locking.size > 0) break;
      this.#queue.shift();
      this.#forget(transaction);
      this.#commit(transaction, tid);
      committed = true;
    }
    if (committed) this.#ended();
  }

  #forget({ ttid, client }: Transaction): void {
    this.#pending.delete(ttid);
    if (client === null) return;
    const begun = (this.#begun.get(client) ?? 0) - 1;
    if (begun > 0) this.#begun.set(client, begun);
    else this.#begun.delete(client);
  }

  /** Some transaction ended: others may have waited for that. */
  #ended(): void {
    this.#context.delayed.kick();
    if (this.size === 0) this.onIdle();
  }

  #commit(transaction: Transaction, tid: Tid): void {
    // Before anybody hears of it.
    this.ids.committed(tid);
    this.#context.packs.committed(tid);
    announceCommit(this.#context, transaction, tid);
    transaction.span?.end();
  }

  // Aborting

  /** `AbortTransaction`: the client gives up; `nids` are the storages it tried to write to. */
  abort(client: Node, { ttid, nids }: ArgsOf<"AbortTransaction">): void {
    const transaction = this.#find(ttid, client);
    if (transaction.tid !== null) throw violation("commit already requested");
    this.#abort(transaction, nids);
  }

  /** Ends a transaction that nobody has locked, telling these storages and those that wait. */
  #abort(transaction: Transaction, nids: Iterable<Nid>): void {
    const { nodes, readiness } = this.#context;
    const { ttid } = transaction;
    transaction.span?.end("aborted");
    this.#forget(transaction);
    this.#queue = this.#queue.filter((other) => other !== transaction);
    const started = new Set(readiness.started());
    for (const nid of new Set([...nids, ...transaction.waitingStorages])) {
      if (!started.has(nid)) continue;
      nodes.get(nid)?.connection?.notify("AbortTransaction", { ttid, nids: [] });
    }
    for (const waiting of transaction.finalTidRequests.values()) waiting.answer({ tid: null });
    this.#ended();
  }

  // Questions

  /** `AskFinalTID`: what became of a transaction whose client lost the answer. */
  finalTid(ttid: Tid, from: Request<"AskFinalTID">): void {
    const transaction = this.#pending.get(ttid);
    if (transaction === undefined) {
      return from.answer({ tid: this.#lastUsed() < ttid ? null : MAX_TID });
    }
    const { client, finalTidRequests, refused } = transaction;
    if (refused && transaction.tid === null && client?.connection === from.connection) {
      // It takes the refusal for a failure, and does not abort what may be committed.
      from.answer({ tid: null });
      return this.#abort(transaction, this.#context.readiness.started());
    }
    if (finalTidRequests.has(from.connection)) {
      throw violation(`the final tid of ${hexId(ttid)} was asked already`);
    }
    finalTidRequests.set(from.connection, from);
  }

  /** `AskUnfinishedTransactions`: all that are pending, whose end the storage will be told. */
  unfinished(storage: Nid): Tid[] {
    for (const transaction of this.#pending.values()) transaction.waitingStorages.add(storage);
    return [...this.#pending.keys()];
  }

  /** Whether a client that had this id left while a transaction of its own was being finished. */
  hasOrphanOf(client: Nid): boolean {
    return [...this.#pending.values()].some((transaction) =>
      transaction.client === null && transaction.clientNid === client
    );
  }

  #find(ttid: Tid, client: Node): Transaction {
    const transaction = this.#pending.get(ttid);
    if (transaction === undefined || transaction.client !== client) {
      throw violation(`unknown transaction ${hexId(ttid)}`);
    }
    return transaction;
  }

  // Losses

  /** A client is lost: what it has not asked to finish is dropped, the rest goes on without it. */
  clientLost(client: Node): void {
    if (!this.#open) return;
    this.#begun.delete(client);
    for (const transaction of [...this.#pending.values()]) {
      if (transaction.client !== client) continue;
      transaction.client = null;
      if (transaction.tid === null) this.#abort(transaction, []);
    }
  }

  /**
   * A storage is lost. By now the others were told that its cells are out of date, which makes it
   * safe to acknowledge transactions that it has not locked.
   */
  storageLost(nid: Nid): void {
    for (const transaction of this.#pending.values()) {
      transaction.waitingStorages.delete(nid);
      transaction.involved.delete(nid);
      transaction.locking.delete(nid);
      transaction.unlockable.delete(nid);
    }
    // Each of these may lose other storages, and end the operation.
    for (const transaction of [...this.#pending.values()]) {
      if (this.#open) this.#settleUnlockable(transaction);
    }
    if (this.#open) this.#commitLocked();
  }

  toString(): string {
    const lines = [...this.#pending.values()].map((transaction) => `\n  ${transaction}`);
    return `last transaction ${hexId(this.ids.lastTransaction)}, last oid ${
      hexId(this.ids.lastOid)
    }, ` +
      `${this.size} pending${lines.join("")}`;
  }
}

const INCOMPLETE = "the storages that could not be written can't be disconnected: " +
  "the cluster would not be operational without them";
