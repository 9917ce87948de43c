/**
 * What a client reads.
 *
 * @module
 */

import { hexId, MAX_TID, type Oid, type Tid, tidToTime, ZERO_TID } from "../protocol/ids.ts";
import { checkOid, checkTid } from "./arguments.ts";
import type { Revision } from "./cache.ts";
import { NEOStorageError, NEOStorageNotFoundError, POSKeyError } from "./errors.ts";
import { ALL_OIDS, History, type TransactionInformation } from "./iterator.ts";
import type { Objects } from "./objects.ts";
import { loadPackOrders, type PackOrder } from "./packs.ts";
import type { TransactionInfo, TransactionRecord } from "./records.ts";
import type { Services } from "./services.ts";
import { type OidRange, Snapshot } from "./snapshot.ts";
import {
  matching,
  undoLog,
  type UndoLogEntry,
  type UndoLogOptions,
  type UndoSpecification,
} from "./undo_log.ts";
import type { WaitOptions } from "./waiting.ts";

/** Revisions that a history may repeat, as others commit while it is read. */
const MAX_MOVED = 1000;

/** Bounds of an iteration over transactions. */
export interface IteratorOptions extends WaitOptions {
  /** First tid. Default: that of the first transaction. */
  readonly start?: Tid;
  /** Last tid. Default: that of the last transaction. */
  readonly stop?: Tid;
}

/** What {@linkcode Reader.oids} lists. */
export interface OidsOptions extends OidRange {
  /** When objects must exist. Default: now. */
  readonly tid?: Tid;
}

/** A revision of an object, in its history. */
export interface HistoryEntry extends TransactionInfo {
  /** Seconds since the Unix epoch. */
  readonly time: number;
  /** Bytes of data as they are stored, so maybe compressed; 0 for a deletion. */
  readonly size: number;
}

/** What {@linkcode Reader.packOrders} lists. */
export interface PackOrdersOptions extends WaitOptions {
  /** First id. Default: that of the first order. */
  readonly minId?: Tid;
}

/** The operations of a client that change nothing. */
export class Reader {
  /** @internal For subclasses only. */
  protected readonly services: Services;
  /** @internal For subclasses only. */
  protected readonly walk: History;
  readonly #objects: Objects;

  /** For subclasses only. */
  constructor(services: Services) {
    this.services = services;
    this.walk = new History(services);
    this.#objects = services.objects;
  }

  /**
   * The last transaction that this client sees: all its changes were told to listeners. `ZERO_TID` if
   * the database is empty. Only goes back if the database is truncated.
   */
  get lastTransaction(): Tid {
    return this.services.view.lastTid ?? ZERO_TID;
  }

  /**
   * The current revision of an object, as of {@linkcode lastTransaction}. Its data must not be
   * modified: it is shared.
   *
   * @throws {POSKeyError} if there is none, or if it was deleted.
   * @throws {NEOStorageError} if all replicas fail.
   */
  async load(oid: Oid, { signal }: WaitOptions = {}): Promise<Revision> {
    checkOid(oid);
    return await this.#objects.load(oid, signal);
  }

  /**
   * The last revision of an object below a tid (and not after {@linkcode lastTransaction}). `null` if
   * the object exists but all its revisions are later.
   *
   * @throws {POSKeyError} if the object never existed, or was deleted by then.
   * @throws {NEOStorageError} if all replicas fail.
   */
  async loadBefore(oid: Oid, tid: Tid, { signal }: WaitOptions = {}): Promise<Revision | null> {
    checkOid(oid);
    return await this.#objects.loadBefore(oid, tid, signal);
  }

  /**
   * The revision of an object that a transaction stored.
   *
   * @throws {POSKeyError} if it stored none.
   * @throws {NEOStorageError} if all replicas fail.
   */
  async loadSerial(oid: Oid, serial: Tid, { signal }: WaitOptions = {}): Promise<Revision> {
    checkOid(oid);
    checkTid("serial", serial);
    return await this.#objects.loadSerial(oid, serial, signal);
  }

  /**
   * The serial of the current revision of an object. Its data does not travel.
   *
   * @throws {POSKeyError} if there is none, or if it was deleted.
   */
  async getTid(oid: Oid, options: WaitOptions = {}): Promise<Tid> {
    const [last] = await this.#revisions(oid, 1, options.signal);
    // Without size, it is deleted or empty.
    if (last !== undefined && last.size > 0) return last.tid;
    return (await this.load(oid, options)).serial;
  }

  /**
   * The last revisions of an object, newest first.
   *
   * @param count how many, at most.
   * @throws {POSKeyError} if the object never existed.
   */
  async history(oid: Oid, count = 1, { signal }: WaitOptions = {}): Promise<HistoryEntry[]> {
    if (!Number.isSafeInteger(count) || count < 0) {
      throw new RangeError(`count must be a whole number from 0, not ${count}`);
    }
    const revisions = await this.#revisions(oid, count, signal);
    return await Promise.all(revisions.map(async ({ tid, size }) => {
      const { oids: _, ...information } = await this.walk.information(tid, signal);
      return { ...information, time: tidToTime(tid), size };
    }));
  }

  /** Those that the view includes: storage nodes may have later ones. */
  async #revisions(oid: Oid, count: number, signal: AbortSignal | undefined) {
    checkOid(oid);
    const { lastTransaction } = this;
    const visible: { readonly tid: Tid; readonly size: number }[] = [];
    let previous = MAX_TID;
    let moved = 0;
    for (let first = 0; visible.length < count;) {
      const last = first + count - visible.length;
      let found;
      try {
        found = await this.walk.revisions(oid, first, last, signal);
      } catch (error) {
        if (!(error instanceof NEOStorageNotFoundError)) throw error;
        if (first > 0) break;
        throw new POSKeyError(oid, "", { cause: error });
      }
      for (const revision of found) {
        if (revision.tid >= previous) {
          // Seen already, and moved by what was committed meanwhile.
          if (++moved > MAX_MOVED) throw new NEOStorageError("a history is not in order");
          continue;
        }
        previous = revision.tid;
        if (revision.tid <= lastTransaction) visible.push(revision);
      }
      if (found.length < last - first) break;
      first = last;
    }
    return visible;
  }

  /**
   * The metadata of a transaction, with the objects it changed.
   *
   * @throws {NEOStorageNotFoundError} if there is no such transaction.
   */
  async transactionInformation(
    tid: Tid,
    { signal }: WaitOptions = {},
  ): Promise<TransactionInformation> {
    checkTid("tid", tid);
    return await this.walk.information(tid, signal);
  }

  /**
   * Transactions by increasing tid, both bounds included. The iteration ends with what is the last
   * transaction at the time of the call.
   *
   * @example
   * ```ts ignore
   * for await (const { tid, records } of client.iterator()) {
   *   for await (const { oid, data } of records()) console.log(tid, oid, data?.length);
   * }
   * ```
   */
  iterator({ start = ZERO_TID, stop = MAX_TID, signal }: IteratorOptions = {}): AsyncGenerator<
    TransactionRecord
  > {
    checkTid("start", start);
    checkTid("stop", stop);
    const { lastTransaction } = this;
    const last = stop < lastTransaction ? stop : lastTransaction;
    return this.walk.transactions(start, last, signal);
  }

  /** The objects that exist, by increasing oid, both bounds included. */
  oids({ tid, min = ALL_OIDS.min, max = ALL_OIDS.max, signal }: OidsOptions = {}): AsyncGenerator<
    Oid
  > {
    checkOid(min);
    checkOid(max);
    return this.walk.oids(tid ?? this.lastTransaction, min, max, signal);
  }

  /**
   * Loads many objects at once into the cache, as of {@linkcode lastTransaction}. Those that do not
   * exist are left out.
   */
  async prefetch(
    oids: Iterable<Oid> | AsyncIterable<Oid>,
    options: WaitOptions = {},
  ): Promise<void> {
    await this.snapshot().prefetch(oids, options);
  }

  /** The state that this client sees now, to be read as long as one wants. */
  snapshot(): Snapshot {
    return this.at(this.lastTransaction);
  }

  /**
   * The state just after a transaction, or between two.
   *
   * @throws {RangeError} if it is later than {@linkcode lastTransaction}: it could still change.
   */
  at(tid: Tid): Snapshot {
    checkTid("tid", tid);
    const { lastTransaction } = this;
    if (tid > lastTransaction) {
      throw new RangeError(
        `tid must not be later than the last transaction, ${hexId(lastTransaction)}: ` +
          `${hexId(tid)} is`,
      );
    }
    return new Snapshot(this.#objects, this.walk, tid);
  }

  /**
   * Transactions that can be undone, newest first. What was packed, and packs themselves, are not
   * among them.
   *
   * @throws {RangeError} if `first` or `last` make no sense.
   */
  async undoLog(options: UndoLogOptions = {}): Promise<UndoLogEntry[]> {
    return await undoLog(this.services, this.walk, options);
  }

  /** {@linkcode undoLog} of those transactions whose metadata is what is specified. */
  async undoInfo(
    specification: UndoSpecification,
    { first, last, signal }: Omit<UndoLogOptions, "filter"> = {},
  ): Promise<UndoLogEntry[]> {
    return await undoLog(this.services, this.walk, {
      ...first !== undefined && { first },
      ...last !== undefined && { last },
      filter: matching(specification),
      signal,
    });
  }

  /** Packs that were ordered, by increasing id. */
  async packOrders({ minId = ZERO_TID, signal }: PackOrdersOptions = {}): Promise<PackOrder[]> {
    checkTid("minId", minId);
    return await loadPackOrders(this.services, minId, signal);
  }

  /**
   * Waits until a pack is done by all storage nodes.
   *
   * @param id that of the order, as `Client.pack` returns it.
   */
  async waitForPack(id: Tid, { signal }: WaitOptions = {}): Promise<void> {
    checkTid("id", id);
    const { primary, view } = this.services;
    await primary.ask("WaitForPack", { id }, signal);
    const [order] = await loadPackOrders(this.services, id, signal);
    if (order?.id === id && order.approved) view.cache.forgetPacked(order.tid, order.oids);
  }

  /**
   * Waits until {@linkcode lastTransaction} includes all that was committed by anybody before the call.
   */
  async sync({ signal }: WaitOptions = {}): Promise<void> {
    await this.services.primary.sync(signal);
  }
}
