/**
 * What the concerns of a database share: ordered writes, and reads that see them.
 *
 * @module
 */

import { type DatabaseError, type DatabaseOptions, LimitError } from "./database.ts";
import { MAX_OID, MAX_TID, type Oid, type Tid } from "../../protocol/ids.ts";
import type { Engine, Row, Value } from "./sql.ts";
import { toDatabaseError, WriteQueue } from "./write_queue.ts";

/** One per open database. */
export class Context {
  readonly queue: WriteQueue;
  /** Unlocked transactions whose records reads do not see yet. */
  readonly unlocked = new UnlockedRecords();
  /** Resolves when the database has failed. */
  readonly failed: Promise<DatabaseError>;
  /** Milliseconds since some fixed moment. */
  readonly now: () => number;

  constructor(readonly engine: Engine, readonly options: DatabaseOptions) {
    const { promise, resolve } = Promise.withResolvers<DatabaseError>();
    this.failed = promise;
    this.now = options.now ?? (() => performance.now());
    this.queue = new WriteQueue(engine, {
      now: this.now,
      setTimer: options.setTimer ?? setRealTimer,
      onCommitted: (position) => this.unlocked.forget(position),
      onFailed: resolve,
    });
    engine.onLost = (error) => this.queue.fail(toDatabaseError(error));
  }

  /** Reads what is committed: see `objectVisible` and the like for what must be before. */
  async read(sql: string, ...parameters: Value[]): Promise<readonly Row[]> {
    if (this.queue.error !== null) throw this.queue.error;
    try {
      return await this.engine.read(sql, parameters);
    } catch (error) {
      const failure = this.queue.error ?? toDatabaseError(error);
      this.queue.fail(failure);
      throw failure;
    }
  }

  /** Resolves once reads of one object see all that was called before. */
  objectVisible(oid: Oid): Promise<void> | undefined {
    const position = this.unlocked.positionOf(oid);
    return position === 0 ? undefined : this.queue.visible(position);
  }

  /** Resolves once reads of committed transactions see all that was called before. */
  committedVisible(): Promise<void> {
    return this.queue.visible(this.unlocked.last);
  }
}

/** The last serials of objects that are in the write queue. */
export class UnlockedRecords {
  readonly #records = new Map<Oid, { readonly serial: Tid; readonly position: number }>();
  #everything = 0;
  #last = 0;
  #deletions = 0;

  /** Position of the last write that changes committed records. */
  get last(): number {
    return this.#last;
  }

  /** Position of the last write that deletes records which nobody needs to miss at once. */
  get deletions(): number {
    return this.#deletions;
  }

  /** Records that an object gets a new last serial with the write at a position. */
  add(oid: Oid, serial: Tid, position: number): void {
    this.#records.delete(oid); // Insertion order is by position.
    this.#records.set(oid, { serial, position });
    this.#last = position;
  }

  /** Records that any committed record or transaction may change with the write at a position. */
  addAll(position: number): void {
    this.#records.clear();
    this.#everything = this.#last = position;
  }

  /** Records that only metadata changes with the write at a position. */
  addMetadata(position: number): void {
    this.#last = position;
  }

  /** Records that old records are deleted with the write at a position. */
  addDeletions(position: number): void {
    this.#deletions = position;
  }

  /** The last serial of an object, if it is in the write queue. */
  serialOf(oid: Oid): Tid | undefined {
    return this.#records.get(oid)?.serial;
  }

  /** Position of the last write that concerns an object, 0 if there is none. */
  positionOf(oid: Oid): number {
    return this.#records.get(oid)?.position ?? this.#everything;
  }

  /** Forgets what is committed. */
  forget(committed: number): void {
    for (const [oid, { position }] of this.#records) {
      if (position > committed) break;
      this.#records.delete(oid);
    }
    if (this.#everything <= committed) this.#everything = 0;
  }
}

/** Largest id that all the back-ends can hold, oids and tids alike. */
const MAX_ID: bigint = MAX_TID > MAX_OID ? MAX_OID : MAX_TID;

/**
 * Checks ids that are going to be stored.
 *
 * @throws {LimitError} if one is 2^63 or more.
 */
export function checkStorable(...ids: readonly (Oid | Tid)[]): void {
  for (const id of ids) {
    if (id > MAX_ID) {
      throw new LimitError(`ids must be below 2^63 to be stored, not 0x${id.toString(16)}`);
    }
  }
}

/** Whether an id can be in the database at all. */
export function isStorable(id: Oid | Tid): boolean {
  return id <= MAX_ID;
}

/** The greatest bound of a range that means the same. */
export function clampBound<Id extends Oid | Tid>(id: Id): Id {
  return id > MAX_ID ? MAX_ID as Id : id;
}

function setRealTimer(callback: () => void, milliseconds: number): () => void {
  const timer = setTimeout(callback, milliseconds);
  return () => clearTimeout(timer);
}
