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
   * @throws {StorageTransactionError} if its tid can't be imposed, or another transaction imposes its
   * own.
   */
  async begin(
    services: Services,
    tid: Tid | null,
    resolver: ConflictResolver | null,
    signal: AbortSignal | undefined,
  ): Promise<Writes> {
    if (services.settings.readOnly) throw new ReadOnlyError("the client is read-only");
    this.#check(tid, services.view.lastTid ?? ZERO_TID);
    this.#beginning++;
    if (tid !== null) this.#imposed = tid;
    try {
      for (;;) {
        const session = await services.primary.ready(signal);
        const ttid = await this.#ask(session, tid, signal);
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
  async #ask(session: Session, tid: Tid | null, signal: AbortSignal | undefined) {
    const { connection } = session;
    const asked = connection.ask("AskBeginTransaction", { tid });
    const abort = (ttid: Tid) => connection.notify("AbortTransaction", { ttid, nids: [] });
    let ttid: Tid;
    try {
      ({ ttid } = await abortable(asked, signal));
    } catch (error) {
      // What begins later must not stay.
      if (signal?.aborted) asked.then(({ ttid }) => abort(ttid)).catch(() => {});
      if (error instanceof ConnectionClosed) return null;
      throw fromAnswer(error);
    }
    if (tid === null || ttid === tid) return ttid;
    abort(ttid);
    throw new NEOStorageError(`the master gave ${hexId(ttid)} instead of ${hexId(tid)}`);
  }
}
