/**
 * The first phase of a transaction: what it stores, and the answers of storage nodes.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import { ConnectionClosed, type ErrorAnswer } from "../network/handler.ts";
import { hexId, type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { AnswerArgsOf, ArgsOf } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";
import { MAX_SCALAR } from "../protocol/splitter.ts";
import { fromAnswer } from "./answers.ts";
import {
  decodeData,
  encodeData,
  isIntact,
  NO_DATA,
  PreparedData,
  type StoredData,
} from "./compression.ts";
import {
  ConflictError,
  NEOStorageError,
  ReadConflictError,
  StorageError,
  StorageTransactionError,
  TransactionTooLargeError,
} from "./errors.ts";
import { InvolvedNodes } from "./involved_nodes.ts";
import { Operations } from "./operations.ts";
import { type ConflictResolver, resolveConflict } from "./resolution.ts";
import type { Services } from "./services.ts";
import type { Session } from "./session.ts";
import type { LockHolder } from "./storage_handler.ts";
import type { Written } from "./view.ts";
import { Write, type WriteKind } from "./write.ts";
import { WriteSet } from "./write_set.ts";

/** Objects a transaction may have: storage nodes refuse more. */
export const MAX_OIDS = 2 ** 21 - 1;

/** Writes of a transaction on their way at most: even without data, each of them takes memory. */
export const MAX_PENDING = 1 << 14;

/** Conflicts of an object that are resolved without making sure that it is locked meanwhile. */
export const UNLOCKED_ROUNDS = 2;

const DONE = Promise.resolve();

/**
 * What a transaction writes.
 *
 * Answers change the state where they arrive; conflicts are only noted there, and resolved by the
 * operation that goes on, or by one of their own. Operations are done one after the other. Once one has
 * failed, the transaction can only be aborted, and all others fail for the same reason.
 */
export class Writes implements LockHolder {
  readonly nodes: InvolvedNodes;
  /** What the transaction orders to pack. */
  pack: ArgsOf<"AskFinishTransaction">["pack"] = null;
  readonly #services: Services;
  readonly #set: WriteSet;
  /** The transactions that changed objects first. */
  readonly #conflicts = new Map<Oid, Tid>();
  /** The same, for those that were merged with. */
  readonly #resolved = new Map<Oid, Tid>();
  /** How many conflicts of an object were resolved. */
  readonly #rounds = new Map<Oid, number>();
  /** Requests that were not answered. */
  #requests = 0;
  /** Everything was stored: locks are not given back any more. */
  #stored = false;
  readonly #operations: Operations;

  constructor(
    services: Services,
    readonly session: Session,
    readonly ttid: Tid,
    /** What merges conflicts. */
    readonly resolver: ConflictResolver | null,
  ) {
    this.#services = services;
    this.#set = new WriteSet(services.settings.cacheSize);
    this.nodes = new InvolvedNodes(session, services.storages);
    this.#operations = new Operations(session);
    this.#operations.onIdle = () => this.#resolveSoon();
  }

  /** Objects whose conflicts were resolved, with the transactions they were merged with. */
  get resolved(): ReadonlyMap<Oid, Tid> {
    return this.#resolved;
  }

  /** Objects of each kind, in the order they were written, whatever the order of the answers. */
  oids(...kinds: WriteKind[]): Oid[] {
    return this.#set.oids(...kinds);
  }

  /** What will be visible once the transaction is committed. */
  get written(): Written {
    return this.#set.written;
  }

  /**
   * Sends a write to all nodes concerned, without waiting for their answers unless too much is on its
   * way.
   *
   * @throws {ConflictError} about this or an earlier write.
   */
  write(
    kind: WriteKind,
    oid: Oid,
    serial: Tid,
    data: Uint8Array | PreparedData | null,
    dataTid: Tid | null,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#checkKind(kind, oid);
    const [own, stored] = data instanceof PreparedData ? [data.data, data.stored] : [data];
    const write = new Write(kind, oid, serial, own, dataTid);
    try {
      if (this.#repeats(write)) return DONE;
    } catch (error) {
      // A failure of the transaction, which need not be looked at here.
      return this.operation(() => Promise.reject(error), signal);
    }
    const message = this.#prepare(write, stored);
    const { idle } = this.#operations;
    if (idle && this.#conflicts.size === 0 && this.session.open && !signal?.aborted) {
      const nodes = this.nodes.of(this.session.partitionOf(oid));
      if (nodes !== null) {
        this.#sendTo(nodes, write, message);
        if (!this.#full && !this.#operations.failed) return DONE;
        return this.operation(() => this.#until(() => !this.#full, signal), signal);
      }
    }
    return this.operation(() => this.#send(write, message, signal), signal);
  }

  /** {@linkcode write} for those who are in an operation already. */
  async writeWithin(write: Write, signal: AbortSignal | undefined): Promise<void> {
    this.#checkKind(write.kind, write.oid);
    await this.#send(write, this.#prepare(write), signal);
  }

  /** What the transaction stored for an object, once all nodes have answered. */
  own(oid: Oid): Write | undefined {
    return this.#set.done(oid);
  }

  /** Waits until all nodes have answered, in an operation. */
  answered(signal: AbortSignal | undefined): Promise<void> {
    return this.#until(() => this.#requests === 0, signal);
  }

  /** See {@linkcode Operations.run}. */
  operation<T>(operate: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return this.#operations.run(operate, signal);
  }

  /** Waits for all answers, and resolves conflicts. Nothing can be written afterwards. */
  async settle(signal: AbortSignal | undefined): Promise<void> {
    do {
      await this.#until(() => this.#requests === 0, signal);
      // Something may have arrived since the condition was true.
    } while (this.#requests > 0 || this.#conflicts.size > 0);
    const { pendingCount } = this.#set;
    if (pendingCount > 0) {
      throw new NEOStorageError(`${pendingCount} objects could not be stored or checked`);
    }
    this.#stored = true;
  }

  /** The transaction can't be committed any more. */
  fail(error: unknown): void {
    this.#operations.fail(error);
  }

  /** @throws the reason why nothing can be done any more. */
  checkUsable(): void {
    this.#operations.check();
  }

  /** Aborts when the transaction fails or the signal aborts. */
  failing(signal: AbortSignal | undefined): AbortSignal {
    return this.#operations.signal(signal);
  }

  #checkKind(kind: WriteKind, oid: Oid): void {
    if (this.#stored) throw new StorageTransactionError("the transaction is voted");
    const other = (this.#set.pending(oid) ?? this.#set.done(oid))?.kind;
    if (other === undefined) {
      if (this.#set.size < MAX_OIDS) return;
      throw new TransactionTooLargeError(`a transaction has at most ${MAX_OIDS} objects`);
    }
    if ((kind === "check") !== (other === "check")) {
      throw new StorageTransactionError(
        `object ${hexId(oid)} can't be both checked and stored in one transaction`,
      );
    }
  }

  /**
   * Whether a check was made already. An object can only have been current in one revision.
   *
   * @throws {ReadConflictError} if it was made of another revision.
   */
  #repeats({ kind, oid, serial }: Write): boolean {
    const other = this.#set.pending(oid) ?? this.#set.done(oid);
    if (kind !== "check" || other === undefined) return false;
    if (other.serial === serial) return true;
    throw new ReadConflictError(oid, { current: other.serial, given: serial });
  }

  get #full(): boolean {
    return this.#set.inFlight >= this.#services.settings.maxInFlight ||
      this.#set.pendingCount >= MAX_PENDING;
  }

  /** Waits for a condition, resolving conflicts. */
  async #until(reached: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      await this.#operations.until(() => this.#conflicts.size > 0 || reached(), signal);
      const [conflict] = this.#conflicts;
      if (conflict === undefined) return;
      await this.#resolve(...conflict, signal);
    }
  }

  // Sending

  /** What is sent, besides ids; `null` for a check. */
  #prepare({ kind, oid, data }: Write, prepared?: StoredData): StoredData | null {
    if (kind === "check") return null;
    if (kind === "claim") return NO_DATA;
    const stored = prepared ?? encodeData(data ?? null, this.#services.settings.compress);
    if (stored.data.length <= MAX_SCALAR) return stored;
    throw new StorageError(
      `the data of object ${
        hexId(oid)
      } has ${stored.data.length} bytes, the limit is ${MAX_SCALAR}`,
    );
  }

  /** Sends a write, waiting before and after as long as too much is on its way. */
  async #send(
    write: Write,
    message: StoredData | null,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    await this.#until(() => !this.#full, signal);
    await this.#connectAndSend(write, message, signal);
    await this.#until(() => !this.#full, signal);
  }

  async #connectAndSend(
    write: Write,
    message: StoredData | null,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const partition = this.session.partitionOf(write.oid);
    const nodes = await this.nodes.connect(partition, signal);
    this.checkUsable();
    // What was written before this one is known now.
    this.#checkKind(write.kind, write.oid);
    if (!this.#repeats(write)) this.#sendTo(nodes, write, message);
  }

  #sendTo(nodes: readonly [Nid, Connection][], write: Write, message: StoredData | null): void {
    const { oid, dataTid } = write;
    const { ttid } = this;
    const serial = this.#baseOf(write);
    this.#set.put(write);
    for (const [nid] of nodes) write.waiting.add(nid);
    for (const [nid, connection] of nodes) {
      const onAnswer = ({ conflict }: AnswerArgsOf<"AskStoreObject">) =>
        this.#settled(() => this.#answered(write, nid, conflict));
      const onError = (error: ErrorAnswer | ConnectionClosed) =>
        this.#settled(() => {
          if (this.#failed(nid, error)) this.#written(write, nid);
        });
      this.#requests++;
      if (message === null) {
        connection.request("AskCheckCurrentSerial", { ttid, oid, serial }, onAnswer, onError);
      } else {
        const args = { oid, serial, ...message, dataSerial: dataTid, ttid };
        connection.request("AskStoreObject", args, onAnswer, onError);
      }
    }
    if (!nodes.some(([, connection]) => connection.open)) {
      const partition = this.session.partitionOf(oid);
      this.fail(new NEOStorageError(`no storage node can store objects of partition ${partition}`));
    }
  }

  /**
   * The revision that storage nodes want a write to be based on. If the transaction has restored an earlier
   * one, that is it.
   */
  #baseOf({ oid, serial }: Write): Tid {
    const former = this.#set.pending(oid) ?? this.#set.done(oid);
    if (former === undefined || former.serial !== serial) return serial;
    return former.restored ?? serial;
  }

  /** A request is over. */
  #settled(react: () => void): void {
    this.#requests--;
    react();
    this.#operations.changed();
  }

  /** Whether a request failed because its node was lost, which is judged by the vote. */
  #failed(nid: Nid, error: ErrorAnswer | ConnectionClosed): boolean {
    const lost = error instanceof ConnectionClosed;
    if (lost) this.nodes.lost(nid);
    else this.fail(fromAnswer(error));
    return lost;
  }

  // Answers

  #answered(write: Write, nid: Nid, conflict: Tid | null): void {
    const { oid } = write;
    if (conflict === null) this.#written(write, nid);
    else if (conflict === ZERO_TID) {
      if (this.#set.pending(oid) !== write) return;
      this.nodes.lockless(this.session.partitionOf(oid), nid);
      this.#written(write, nid);
    } else if (conflict <= write.serial && this.#set.pending(oid) === write) {
      // What it is based on is not there, and may never have been.
      const serials = { current: conflict, given: write.serial };
      this.fail(
        write.kind === "check"
          ? new ReadConflictError(oid, serials)
          : new ConflictError(oid, serials),
      );
    } else this.#conflict(oid, conflict);
  }

  /** Replicas may report late a conflict that is resolved already. */
  #conflict(oid: Oid, conflict: Tid): void {
    const pending = this.#set.pending(oid);
    if (pending === undefined || conflict <= pending.serial) return;
    if (conflict <= (this.#conflicts.get(oid) ?? ZERO_TID)) return;
    this.#conflicts.set(oid, conflict);
    this.#resolveSoon();
  }

  /** Resolves conflicts, unless the operation that goes on does. */
  #resolveSoon(): void {
    if (this.#conflicts.size === 0 || !this.#operations.idle) return;
    this.operation(() => this.#until(() => true, undefined), undefined);
  }

  #written(write: Write, nid: Nid): void {
    const { oid, waiting } = write;
    if (this.#set.pending(oid) !== write || !waiting.delete(nid)) return;
    // Data is kept until all have answered: others may still report a conflict.
    if (waiting.size > 0 || this.#conflicts.has(oid)) return;
    this.#set.complete(write);
  }

  /** A storage node wants a lock back for an older transaction. */
  relock(nid: Nid, connection: Connection, oid: Oid): void {
    // This transaction can be voted; the other one waits for it.
    if (this.#stored || this.#operations.failed) return;
    this.#requests++;
    connection.request(
      "AskRelockObject",
      { ttid: this.ttid, oid },
      ({ conflict }) =>
        this.#settled(() => {
          if (conflict !== null) this.#relocked(oid, conflict);
        }),
      (error) => this.#settled(() => void this.#failed(nid, error)),
    );
  }

  /** The older transaction changed the object. */
  #relocked(
    oid: Oid,
    { serial, conflict, data }: NonNullable<AnswerArgsOf<"AskRelockObject">["conflict"]>,
  ): void {
    const done = this.#set.done(oid);
    if (done !== undefined) {
      // Another node was faster to tell, and what followed from it was stored already.
      if (conflict <= done.serial) return;
      // Taken back, from the storage node if it was dropped here.
      let restored;
      if (done.data === undefined) {
        if (data === null || !isIntact(data)) {
          return this.fail(new NEOStorageError(`the data of object ${hexId(oid)} was damaged`));
        }
        restored = decodeData(data);
      }
      this.#set.put(done.renewed(serial, restored));
    }
    this.#conflict(oid, conflict);
  }

  // Conflicts

  /** Merges with what was committed first, and stores the result on top of it. */
  async #resolve(oid: Oid, conflict: Tid, signal: AbortSignal | undefined): Promise<void> {
    const write = this.#set.pending(oid);
    this.#conflicts.delete(oid);
    if (write === undefined) throw new Error(`conflict on ${hexId(oid)}, which is not written`);
    this.#set.withdraw(write);
    const { kind, serial, data = null } = write.wanted;
    const serials = { current: conflict, given: serial };
    if (kind === "check") throw new ReadConflictError(oid, serials);
    // A fast competitor would always be first. Storage nodes may keep the lock from the second time on.
    const round = this.#rounds.get(oid) ?? 0;
    this.#rounds.set(oid, round + 1);
    if (round >= UNLOCKED_ROUNDS && !await this.#claim(write.wanted, conflict, signal)) return;
    const stop = this.failing(signal);
    const merged = await resolveConflict(
      this.#services,
      this.resolver,
      oid,
      serials,
      data,
      stop,
    );
    // The lock was given back to an older transaction, which committed: again, with its revision.
    if (this.#conflicts.has(oid)) return;
    this.#resolved.set(oid, conflict);
    const again = new Write("store", oid, conflict, merged, null, null, write.wanted.pinned);
    await this.#connectAndSend(again, this.#prepare(again), signal);
  }

  /**
   * Takes the lock by a store that points to what is committed, to be replaced. Returns whether it has
   * it; if not, somebody else was first again.
   */
  async #claim(
    wanted: Write,
    committed: Tid,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const { oid } = wanted;
    if (this.resolver === null || wanted.data === null) return true;
    const claim = new Write("claim", oid, committed, null, committed, wanted);
    await this.#connectAndSend(claim, this.#prepare(claim), signal);
    const decided = () => this.#conflicts.has(oid) || this.#set.done(oid) === claim;
    await this.#operations.until(decided, signal);
    return !this.#conflicts.has(oid);
  }
}
