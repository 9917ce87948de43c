/**
 * What a cell holds, as storages compare, copy and delete it, whether it may be read by clients or not.
 *
 * @module
 */

import type { Oid, Tid } from "../../protocol/ids.ts";
import type { CommittedTransaction, DataId, ObjectData, PackOrder } from "./database.ts";

/** What identifies a record; records of a cell are in the order of tids, then of oids. */
export interface RecordId {
  readonly tid: Tid;
  readonly oid: Oid;
}

/** A record copied from another cell. */
export interface CopiedObject extends RecordId {
  /** `null` for a deletion or an undone creation. */
  readonly data: ObjectData | null;
  /** The earlier record that has the same data, which is then kept only once. */
  readonly dataSerial: Tid | null;
}

/** A transaction copied from another cell. */
export interface CopiedTransaction extends CommittedTransaction {
  /** The pack order that it carries. */
  readonly pack: Omit<PackOrder, "id"> | null;
}

/**
 * The contents of cells.
 *
 * Copied items are not seen by the reads of a `Database`, nor by those here, before a `flush`: cells
 * that are being filled are not read.
 */
export interface CellContents {
  /** For each cell of this node that is out of date, the tid up to which it has everything. */
  resumePoints(): Promise<Map<number, Tid>>;
  /** An out-of-date cell has everything up to a tid, by what was written so far. */
  setResumePoint(partition: number, tid: Tid): void;
  /** The first records from `first` (included) on, up to the tid `max`. */
  records(partition: number, first: RecordId, max: Tid, length: number): Promise<RecordId[]>;
  /** The pack orders carried by transactions of a range of tids. */
  packOrders(partition: number, min: Tid, max: Tid): Promise<Map<Tid, PackOrder>>;

  /**
   * Adds transactions that the cell does not have.
   *
   * @throws {LimitError} if the database can't hold one of them.
   */
  addTransactions(transactions: readonly CopiedTransaction[]): void;
  /**
   * Adds records that the cell does not have. To be called again once it has returned.
   *
   * @param wanted asked at the last moment, as all that takes time: if it says no, no more is written.
   *   Nor is it after `dropUnfinished`.
   * @throws {LimitError} (a rejection) if the database can't hold one of them.
   */
  addObjects(objects: readonly CopiedObject[], wanted?: () => boolean): Promise<void>;
  /** Deletes transactions, with the pack orders they carry. */
  deleteTransactions(partition: number, tids: readonly Tid[]): void;
  /** Deletes records, and the data that only they refer to, if that is still `wanted` in the end. */
  deleteObjects(
    partition: number,
    records: readonly RecordId[],
    wanted?: () => boolean,
  ): Promise<void>;
  /** A cell was filled from one of which this is the last completed pack. */
  lowerPack(partition: number, pack: Tid): void;
  /** A cell was compared as a whole with one of which this is the last completed pack. */
  raisePack(partition: number, pack: Tid): void;

  /** Deletes what unfinished transactions have in cells that are not to be written any more. */
  discardUnfinished(partitions: ReadonlySet<number>): void;
  /** Partitions of which this node has no cell but maybe data, ascending. */
  readonly discarded: readonly number[];
  /**
   * Deletes a part of a discarded partition.
   *
   * @returns the number of rows. 0 if nothing remained, or if the partition was given back to this
   *   node: it is not `discarded` any more.
   */
  dropSlice(partition: number): Promise<number>;

  /** Among some rows of data after an id, those that nothing refers to; `last` is the last of all. */
  orphans(
    after: DataId,
  ): Promise<{ readonly orphans: readonly DataId[]; readonly last: DataId | null }>;
  /** Deletes data, unless something refers to it. */
  deleteOrphans(ids: readonly DataId[]): Promise<void>;
}
