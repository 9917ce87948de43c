/**
 * Transactions, as applications use them.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { type Span, traced } from "../network/tracer.ts";
import { hexId, type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import { checkOid, checkTid } from "./arguments.ts";
import { PreparedData } from "./compression.ts";
import { NEOStorageError, StorageTransactionError, UnknownOutcomeError } from "./errors.ts";
import { encodeExtension, type Extension } from "./extension.ts";
import { finish } from "./finish.ts";
import type { History } from "./iterator.ts";
import type { DataRecord } from "./records.ts";
import type { ConflictResolver } from "./resolution.ts";
import { Restoration } from "./restore.ts";
import type { Services } from "./services.ts";
import type { Transactions } from "./transactions.ts";
import { undo } from "./undo.ts";
import { type Metadata, vote } from "./vote.ts";
import type { WaitOptions } from "./waiting.ts";
import { Write } from "./write.ts";
import { MAX_OIDS, type Writes } from "./writes.ts";

/** What describes a transaction. Texts are stored as UTF-8. */
export interface TransactionOptions extends WaitOptions {
  /** Who changed something. Default: empty. */
  readonly user?: string | Uint8Array;
  /** What was changed. Default: empty. */
  readonly description?: string | Uint8Array;
  /** Anything else to remember with it; or a dictionary that was pickled already, kept as it is. */
  readonly extension?: Extension | Uint8Array;
  /**
   * The tid the transaction must get, to import it from elsewhere: greater than that of the last
   * transaction. No other transaction may be going on in the whole cluster.
   */
  readonly tid?: Tid;
  /** Merges conflicts of this transaction. Default: the function that was given to `connect`. */
  readonly resolveConflict?: ConflictResolver | null;
}

/** Options of {@linkcode Transaction.store}. */
export interface StoreOptions extends WaitOptions {
  /**
   * An earlier revision of the object that has the same data: the new one is stored as a pointer to
   * it where that revision exists.
   */
  readonly dataTid?: Tid | null;
}

/** Options of {@linkcode Transaction.finish}. */
export interface FinishOptions extends WaitOptions {
  /**
   * Called exactly once if the transaction is committed, synchronously, when its changes become
   * visible to this client and before `lastTransaction` includes it. (If the primary master is lost
   * in between, it is called when the outcome is known, after listeners were told to reset.)
   */
  readonly onCommitted?: (tid: Tid) => void;
}

/**
 * What became of a transaction:
 *
 * - `open`: writes are accepted;
 * - `voting`, `voted`: it can be finished or aborted;
 * - `finishing`: too late to abort;
 * - `committed`, `aborted`: it is over;
 * - `unknown`: finishing was interrupted, {@linkcode UnknownOutcomeError} was thrown.
 */
export type TransactionState =
  | "open"
  | "voting"
  | "voted"
  | "finishing"
  | "committed"
  | "aborted"
  | "unknown";

const textEncoder = new TextEncoder();

/** The metadata as it is stored. */
export function metadataOf(options: TransactionOptions): Metadata {
  const { user = "", description = "", extension = {} } = options;
  const bytes = (text: string | Uint8Array) =>
    typeof text === "string" ? textEncoder.encode(text) : text;
  return {
    user: bytes(user),
    description: bytes(description),
    extension: encodeExtension(extension),
  };
}

/**
 * A transaction. Nothing it does is visible to anybody until it is committed.
 *
 * Writes are sent without waiting for answers, so a {@linkcode ConflictError} is thrown by the write
 * it is about or by any later operation, at the latest by the vote. Writes need not be awaited one by
 * one, but `commit` must be; only a write whose arguments are wrong has nobody else to tell, and ends
 * in an unhandled rejection. After a failure, a transaction can only be aborted.
 *
 * Object data belongs to the client from the moment it is stored: it must not be modified any more.
 *
 * @example
 * ```ts ignore
 * await using transaction = await client.begin({ user: "alice", description: "first steps" });
 * const oid = await client.newOid();
 * await transaction.store(oid, null, new TextEncoder().encode("hello"));
 * const tid = await transaction.commit();
 * ```
 */
export class Transaction implements AsyncDisposable {
  readonly #services: Services;
  readonly #transactions: Transactions;
  readonly #history: History;
  readonly #writes: Writes;
  readonly #metadata: Metadata;
  /** From the beginning to the end, and from the first write to the vote, if somebody wants to know. */
  readonly #span: Span | null;
  #storing: Span | null = null;
  #state: TransactionState = "open";

  /** For {@linkcode Client.begin} only. */
  constructor(
    services: Services,
    transactions: Transactions,
    history: History,
    writes: Writes,
    metadata: Metadata,
  ) {
    this.#services = services;
    this.#transactions = transactions;
    this.#history = history;
    this.#writes = writes;
    this.#metadata = metadata;
    const { ttid, session: { nid: node } } = writes;
    this.#span = services.tracer?.begin({ name: "transaction", ttid, node }) ?? null;
  }

  /** The temporary id of the transaction, or the tid that was imposed. */
  get ttid(): Tid {
    return this.#writes.ttid;
  }

  /** What became of it so far. */
  get state(): TransactionState {
    return this.#state;
  }

  /**
   * Stores a new revision of an object.
   *
   * @param serial the revision it is based on; `null` for a new object.
   * @param data at most 64 MiB once compressed; maybe what `Client.prepare` made of it.
   * @throws {ConflictError} if that revision is not the current one, now or at a later operation.
   * @throws {StorageTransactionError} if the transaction is not open.
   * @throws {NEOPrimaryMasterLost} if the primary master was lost since the transaction began.
   * @throws {RangeError} if the oid is not below 2^63.
   */
  store(
    oid: Oid,
    serial: Tid | null,
    data: Uint8Array | PreparedData,
    { dataTid = null, signal }: StoreOptions = {},
  ): Promise<void> {
    if (!(data instanceof Uint8Array || data instanceof PreparedData)) {
      return Promise.reject(new TypeError("data must be a Uint8Array"));
    }
    return this.#write("store", oid, serial, data, dataTid, signal);
  }

  /**
   * Deletes an object: loading it gives a `POSKeyError`, but older revisions stay. With `dataTid`, the
   * new revision is a pointer to an earlier deletion.
   *
   * @throws as {@linkcode store} does.
   */
  deleteObject(
    oid: Oid,
    serial: Tid | null,
    { dataTid = null, signal }: StoreOptions = {},
  ): Promise<void> {
    return this.#write("delete", oid, serial, null, dataTid, signal);
  }

  /**
   * Makes the transaction depend on an object that it does not store: `serial` is the current revision
   * and stays so until the end of the transaction.
   *
   * @throws {ReadConflictError} if it is not, now or at a later operation.
   * @throws as {@linkcode store} does.
   */
  checkCurrentSerial(oid: Oid, serial: Tid, { signal }: WaitOptions = {}): Promise<void> {
    return this.#write("check", oid, serial, null, null, signal);
  }

  /**
   * Undoes another transaction: what it changed becomes what it was before. Where that was modified
   * again later, `resolveConflict` has to merge. Several may be undone in one transaction.
   *
   * @param tid of the transaction to undo, as `Client.undoLog` lists it.
   * @returns the objects that are changed by it.
   * @throws {UndoError} if there is no such transaction, it was packed, or what it did can't be taken
   * out of what is there now.
   * @throws {NEOUndoPackError} if it is packed meanwhile.
   * @throws as {@linkcode store} does.
   */
  undo(tid: Tid, { signal }: WaitOptions = {}): Promise<Oid[]> {
    try {
      this.#expect("open");
      checkTid("tid", tid);
    } catch (error) {
      return Promise.reject(error);
    }
    const operate = () => undo(this.#services, this.#history, this.#writes, tid, signal);
    const undone = traced(this.#span, "undo", () => this.#writes.operation(operate, signal));
    // Like any write, it need not be awaited: a failure is that of the transaction.
    undone.catch(() => {});
    return undone;
  }

  /**
   * Stores a record of another database on top of what is there, whatever it is. `dataTid` is followed
   * if that revision is here; `data` has to be given nevertheless.
   *
   * @throws as {@linkcode store} does, but for conflicts with what was committed before.
   */
  restore(
    record: Pick<DataRecord, "oid" | "data" | "dataTid">,
    { signal }: WaitOptions = {},
  ): Promise<void> {
    try {
      this.#expect("open");
      const { oid, data, dataTid } = record;
      checkOid(oid);
      if (dataTid !== null) checkTid("dataTid", dataTid);
      const restoration = new Restoration(this.#history, this.#services.objects);
      const found = Promise.all([
        restoration.lastSerial(oid, signal),
        restoration.sharedRevision(record, signal),
      ]);
      // The operation tells.
      found.catch(() => {});
      return this.#writes.operation(async () => {
        const [base, shared] = await found;
        const kind = data === null ? "delete" : "store";
        await this.#writes.writeWithin(
          new Write(kind, oid, base ?? ZERO_TID, data, shared),
          signal,
        );
      }, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Makes the transaction order a pack, see `Client.pack`.
   *
   * @param oids the only objects to pack, at least one; `null` for all.
   * @throws {NEOStorageError} if the tid is zero or later than the last transaction.
   */
  setPackOrder(tid: Tid, oids: Iterable<Oid> | null = null): void {
    this.#expect("open");
    checkTid("tid", tid);
    const last = this.#services.view.lastTid ?? ZERO_TID;
    if (tid === ZERO_TID || tid > last) {
      throw new NEOStorageError(
        `can't pack at ${hexId(tid)}: it must be after 0 and not after the last transaction, ` +
          hexId(last),
      );
    }
    const sorted = oids === null ? null : [...new Set(oids)].sort((a, b) => a < b ? -1 : 1);
    sorted?.forEach(checkOid);
    if (sorted !== null && (sorted.length === 0 || sorted.length > MAX_OIDS)) {
      throw new RangeError(`oids to pack must be 1 to ${MAX_OIDS}, not ${sorted.length}`);
    }
    this.#writes.pack = { tid, oids: sorted };
  }

  /**
   * Makes everything durable on all storage nodes. If it succeeds, {@linkcode finish} only fails if
   * nodes fail.
   *
   * @returns the objects whose conflicts were resolved (so that what was stored is not what is
   * committed), with the transactions they were merged with.
   * @throws {ConflictError} if another transaction was first.
   * @throws {NEOStorageError} if too many nodes failed.
   * @throws {NEOPrimaryMasterLost} if the primary master was lost since the transaction began.
   */
  async vote({ signal }: WaitOptions = {}): Promise<ReadonlyMap<Oid, Tid>> {
    this.#expect("open");
    this.#state = "voting";
    this.#stored();
    const operate = () => vote(this.#writes, this.#metadata, signal);
    await traced(this.#span, "vote", () => this.#writes.operation(operate, signal));
    this.#expect("voting");
    this.#state = "voted";
    return this.#writes.resolved;
  }

  /**
   * Commits a transaction that was voted.
   *
   * @returns the tid of the transaction: the serial of everything it stored.
   * @throws {NEOStorageError} if nodes failed since the vote: nothing was committed.
   * @throws {NEOPrimaryMasterLost} if the primary master was lost, and nothing was committed.
   * @throws {UnknownOutcomeError} if the signal stopped it, or the client was closed: it may or may
   * not be committed.
   */
  async finish({ onCommitted = () => {}, signal }: FinishOptions = {}): Promise<Tid> {
    this.#expect("voted");
    signal?.throwIfAborted();
    this.#state = "finishing";
    this.#transactions.finishing(this.ttid);
    try {
      const operate = () => finish(this.#services, this.#writes, onCommitted, signal);
      const tid = await traced(this.#span, "finish", operate);
      this.#state = "committed";
      this.#span?.set("neo.tid", hexId(tid));
      this.#endSpan();
      return tid;
    } catch (error) {
      this.#endSpan(errorText(error));
      this.#state = error instanceof UnknownOutcomeError ? "unknown" : "aborted";
      throw error;
    } finally {
      this.#transactions.over(this.#writes);
    }
  }

  /**
   * {@linkcode vote} and {@linkcode finish}. If the vote fails, or the signal stops it before the
   * commit is asked for, the transaction is aborted.
   */
  async commit(options: FinishOptions = {}): Promise<Tid> {
    if (this.#state !== "open") this.#expect("voted");
    try {
      if (this.#state === "open") await this.vote(options);
      options.signal?.throwIfAborted();
    } catch (error) {
      await this.abort();
      throw error;
    }
    return await this.finish(options);
  }

  /**
   * Gives up. Does nothing once {@linkcode finish} was called, whose outcome is then what counts.
   *
   * Does not wait for anything.
   */
  abort(): Promise<void> {
    if (["open", "voting", "voted"].includes(this.#state)) this.#abort();
    return Promise.resolve();
  }

  /** Aborts the transaction unless it was finished. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.abort();
  }

  #abort(): void {
    this.#state = "aborted";
    this.#endSpan("aborted");
    const { ttid, session, nodes } = this.#writes;
    // On the connections of the stores, to be handled after them; the master tells the other nodes.
    for (const [, connection] of nodes.connected()) {
      connection.notify("AbortTransaction", { ttid, nids: [] });
    }
    if (session.open) {
      session.connection.notify("AbortTransaction", { ttid, nids: nodes.nids });
    }
    this.#writes.fail(new StorageTransactionError(`transaction ${hexId(ttid)} was aborted`));
    this.#transactions.over(this.#writes);
  }

  #write(
    kind: "store" | "delete" | "check",
    oid: Oid,
    serial: Tid | null,
    data: Uint8Array | PreparedData | null,
    dataTid: Tid | null,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    try {
      this.#expect("open");
      checkOid(oid);
      const base = serial ?? ZERO_TID;
      checkTid("serial", base);
      if (dataTid !== null) checkTid("dataTid", dataTid);
      if (this.#span !== null) this.#storing ??= this.#span.child("store");
      return this.#writes.write(kind, oid, base, data, dataTid, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** No more writes. */
  #stored(): void {
    this.#storing?.end();
    this.#storing = null;
  }

  /** The transaction is over, as far as this client can do something about it. */
  #endSpan(failure?: string): void {
    if (this.#span === null) return;
    this.#stored();
    this.#span.set("neo.oids", this.#writes.oids("store", "delete").length);
    this.#span.end(failure);
  }

  #expect(state: TransactionState): void {
    if (this.#state === state) return;
    throw new StorageTransactionError(
      `transaction ${hexId(this.ttid)} is ${this.#state}, it must be ${state} for that`,
    );
  }
}
