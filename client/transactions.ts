/**
 * The transactions of a client that are not over.
 *
 * @module
 */

import { ConnectionClosed } from "../network/handler.ts";
import { hexId, MAX_TID, type Tid, ZERO_TID } from "../protocol/ids.ts";
import { fromAnswer } from "./answers.ts";
import {
  NEOStorageError,
  ReadOnlyError,
  type StorageError,
  StorageTransactionError,
} from "./errors.ts";
import type { ConflictResolver } from "./resolution.ts";
import type { Services } from "./services.ts";
import type { Session } from "./session.ts";
import type { LockHolder } from "./storage_handler.ts";
import { abortable } from "./waiting.ts";
import { Writes } from "./writes.ts";

/** Transactions at the same time: masters refuse more by closing the connection. */
const MAX_TRANSACTIONS = 10_000;

/** Begins transactions, and knows them until they are over. */
export class Transactions {
  readonly #open = new Map<Tid, Writes>();
  /** Number of transactions that are beginning. */
  #beginning = 0;
  /** The transaction that imposes its tid and has not been finished. */
  #imposed: Tid | null = null;

  /** Those that may hold locks, by ttid. */
  get lockHolders(): ReadonlyMap<Tid, LockHolder> {
    return this.#open;
  }

  /**
   * Begins a transaction.
   *
   * @throws {ReadOnlyError} if the client only reads.
   * @throws {StorageTransactionError} if its tid can't be imposed, another transaction imposes its own, or
   * too many are open.
   */
  async begin(
    services: Services,
    tid: Tid | null,
    resolver: ConflictResolver | null,
    signal: AbortSignal | undefined,
  ): Promise<Writes> {
    if (services.settings.readOnly) throw new ReadOnlyError("the client is read-only");
    this.#check(tid, services.view.lastTid ?? ZERO_TID);
    if (this.#open.size + this.#beginning >= MAX_TRANSACTIONS) {
      throw new StorageTransactionError(
        `a client has at most ${MAX_TRANSACTIONS} transactions at once: those that failed are to be aborted`,
      );
    }
    const begun = this.#begin(services, tid, resolver, signal);
    try {
      return await abortable(begun, signal);
    } catch (error) {
      // What begins later must not stay.
      if (signal?.aborted) begun.then((writes) => this.#giveUp(writes)).catch(() => {});
      throw error;
    }
  }

  /** Counts as beginning until the master has answered: it refuses what it would not have to. */
  async #begin(
    services: Services,
    tid: Tid | null,
    resolver: ConflictResolver | null,
    signal: AbortSignal | undefined,
  ): Promise<Writes> {
    this.#beginning++;
    if (tid !== null) this.#imposed = tid;
    try {
      for (;;) {
        const session = await services.primary.ready(signal);
        const ttid = await this.#ask(session, tid);
        if (ttid === null) continue;
        const writes = new Writes(services, session, ttid, resolver);
        this.#open.set(ttid, writes);
        // Lost just now: the first operation tells.
        return writes;
      }
    } catch (error) {
      if (tid !== null) this.#imposed = null;
      throw error;
    } finally {
      this.#beginning--;
    }
  }

  /** Nobody wants a transaction that has just begun. */
  #giveUp(writes: Writes): void {
    const { session: { connection }, ttid } = writes;
    connection.notify("AbortTransaction", { ttid, nids: [] });
    writes.fail(new StorageTransactionError(`transaction ${hexId(ttid)} was aborted`));
    this.over(writes);
  }

  /** The commit of a transaction was asked for: others may begin. */
  finishing(ttid: Tid): void {
    if (this.#imposed === ttid) this.#imposed = null;
  }

  /** A transaction is over. */
  over(writes: Writes): void {
    this.finishing(writes.ttid);
    if (this.#open.delete(writes.ttid)) writes.nodes.release();
  }

  /** A session is over, and with it its transactions that were not being finished. */
  lost(session: Session, reason: StorageError): void {
    for (const writes of this.#open.values()) if (writes.session === session) writes.fail(reason);
  }

  /** The master would refuse by closing the connection, which costs other transactions too. */
  #check(tid: Tid | null, lastTid: Tid): void {
    if (this.#imposed !== null) {
      throw new StorageTransactionError(
        `transaction ${hexId(this.#imposed)} imposes its tid: it must be finished first`,
      );
    }
    if (tid === null) return;
    if (tid <= lastTid || tid > MAX_TID) {
      throw new StorageTransactionError(
        `tid ${hexId(tid)} can't be imposed: it must be greater than the last one, ` +
          `${hexId(lastTid)}, and less than 2^63`,
      );
    }
    if (this.#open.size + this.#beginning > 0) {
      throw new StorageTransactionError(
        `tid ${hexId(tid)} can't be imposed: another transaction is not over`,
      );
    }
  }

  /** The ttid, or `null` if the connection was lost before the answer. */
  async #ask({ connection }: Session, tid: Tid | null) {
    let ttid: Tid;
    try {
      ({ ttid } = await connection.ask("AskBeginTransaction", { tid }));
    } catch (error) {
      if (error instanceof ConnectionClosed) return null;
      throw fromAnswer(error);
    }
    if (tid === null || ttid === tid) return ttid;
    connection.notify("AbortTransaction", { ttid, nids: [] });
    throw new NEOStorageError(`the master gave ${hexId(ttid)} instead of ${hexId(tid)}`);
  }
}
