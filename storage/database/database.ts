/**
 * What a storage node needs from its database. Two back-ends implement it, with the same tables as
 * every NEO storage since schema version 4, so that databases can be exchanged.
 *
 * Rules of every implementation:
 *
 * - **Order.** Writes take effect in the order of the calls. A read sees every write called before
 *   it, durable or not.
 * - **Durability.** A promise documented as *durable* settles after an fsync. Durable writes that are
 *   waiting at the same time share one commit (group commit). The others ride with the next commit,
 *   are committed as soon as a read needs them, and at the latest after a second.
 * - **Reads are not stalled by an fsync.**
 * - **Failure.** When the database can no longer be trusted (disk full, server gone with uncommitted
 *   writes), `failed` resolves, every call pending or made later rejects with {@linkcode
 *   DatabaseError}, and nothing more is written. The node then opens it again.
 *
 * @module
 */

import type { CellState } from "../../protocol/enums.ts";
import { type Oid, type Tid, ZERO_OID, ZERO_TID } from "../../protocol/ids.ts";
import type { Nid } from "../../protocol/nodes.ts";
import type { CellContents } from "./cell_contents.ts";

export type * from "./cell_contents.ts";

/** The database failed or refuses to be used; the message says why and what to do. */
export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
}

/** The record an undo points to does not exist (any more) in a readable cell. */
export class UndoPackError extends Error {
  override readonly name = "UndoPackError";
}

/**
 * What is asked exceeds what the database can hold, or contradicts what it holds. Nothing was
 * written and the database is fine: the peer that asked is at fault.
 */
export class LimitError extends Error {
  override readonly name = "LimitError";
}

/** Identifier of a row of raw data: `partition * 2^48 + n`. */
export type DataId = bigint;

/** Raw data as clients send it: opaque bytes, maybe compressed. */
export interface ObjectData {
  /** 0 none, 1 zlib. */
  readonly compression: number;
  /** SHA-1 of `data`. */
  readonly checksum: Uint8Array;
  readonly data: Uint8Array;
}

/** A revision of an object. */
export interface ObjectRecord {
  readonly serial: Tid;
  /** Serial of the following revision, `null` if this is the last one. */
  readonly nextSerial: Tid | null;
  /** `null` for a deletion or an undone creation. */
  readonly data: ObjectData | null;
  /** The earlier revision this one got its data from by undo. */
  readonly dataSerial: Tid | null;
}

/** Metadata of a transaction. */
export interface TransactionMetadata {
  readonly user: Uint8Array;
  readonly description: Uint8Array;
  readonly extension: Uint8Array;
  /** In the order given by the client. */
  readonly oids: readonly Oid[];
}

/** Metadata of a committed transaction. */
export interface CommittedTransaction extends TransactionMetadata {
  readonly tid: Tid;
  readonly ttid: Tid;
  readonly packed: boolean;
}

/** A pack order as a client gives it. */
export interface PackRequest {
  /** `null` for the whole database. */
  readonly oids: readonly Oid[] | null;
  /** Revisions that are not current at this tid may go. */
  readonly tid: Tid;
}

/** A pack order as it is stored with the transaction that carries it. */
export interface PackOrder {
  readonly id: Tid;
  /** `null` while unsigned. */
  readonly approved: boolean | null;
  readonly partial: boolean;
  readonly oids: readonly Oid[] | null;
  readonly packTid: Tid;
}

/** What a pack order is about, in one partition. */
export interface PackScope {
  readonly packTid: Tid;
  /** The oids that it is limited to, ascending; `null` for all those of the partition. */
  readonly oids: readonly Oid[] | null;
}

/** Where the pack of a partition goes on: the records to examine from there. */
export interface PackPosition {
  readonly oid: Oid;
  readonly tid: Tid;
}

/** Where the pack of a partition starts. */
export const PACK_START: PackPosition = { oid: ZERO_OID, tid: ZERO_TID };

/** What became of a slice of a pack. */
export interface PackedSlice {
  /** `null` when the partition is done. */
  readonly next: PackPosition | null;
  /** Number of records deleted. */
  readonly deleted: number;
}

/** What one transaction stores for one object. */
export interface StoredObject {
  readonly oid: Oid;
  /** `null` for no data (deletion, undone creation). */
  readonly dataId: DataId | null;
  readonly dataSerial: Tid | null;
}

/** An assigned cell as saved in the database. */
export interface SavedCell {
  readonly partition: number;
  readonly nid: Nid;
  readonly state: CellState;
}

/** A change of the partition table; state `DISCARDED` removes the cell. */
export type CellChange = SavedCell;

/** The saved partition table. */
export interface SavedPartitionTable {
  readonly ptid: number;
  readonly replicas: number;
  readonly cells: readonly SavedCell[];
}

/** Extreme ids over the readable partitions. */
export interface LastIds {
  readonly lastTid: Tid | null;
  readonly lastOid: Oid | null;
  /** `MAX_TID` when there is no transaction. */
  readonly firstTid: Tid;
}

/** How to open a database. */
export interface DatabaseOptions {
  /** Connection string: a path or `file:` URI for SQLite, see the README for MySQL. */
  readonly database: string;
  /** Seconds to retry the connection, negative for ever (MySQL only). */
  readonly wait: number;
  /** MySQL storage engine. */
  readonly engine: "InnoDB" | "RocksDB" | null;
  /** Deduplicate data; only decided at creation. */
  readonly dedup: boolean;
  /** Erase everything first. */
  readonly reset: boolean;
  /** Do not delete the data of discarded partitions. */
  readonly disableDropPartitions: boolean;
  /** Receives progress and warnings. */
  readonly log: (level: "info" | "warning" | "error", message: string) => void;
  /** Is told of each commit: seconds, number of writes, and whether it reached the disk. */
  readonly onCommit?: (seconds: number, writes: number, durable: boolean) => void;
  /** Runs a callback after a delay and returns its cancellation. Real time by default. */
  readonly setTimer?: (callback: () => void, milliseconds: number) => () => void;
  /** Milliseconds since some fixed moment. Real time by default. */
  readonly now?: () => number;
}

/** The database of one storage node. Opened with the exclusivity lock taken and the schema current. */
export interface Database {
  /** Resolves (never rejects) when the database has failed. */
  readonly failed: Promise<DatabaseError>;
  /** Executes what is queued, releases the lock and closes. Idempotent. */
  close(): Promise<void>;
  /** Drops all the tables of NEO, durably; the database can only be closed afterwards. */
  erase(): Promise<void>;
  /** Commits, durably, everything queued so far. */
  flush(): Promise<void>;
  /** Bytes that wait to be written. */
  readonly queuedBytes: number;
  /** Host name and device of the data, for the topology of the cluster. */
  devicePath(): Promise<string[]>;

  // Configuration. Getters are immediate, setters durable.

  /** Cluster name, `null` in a new database. */
  readonly clusterName: string | null;
  readonly nid: Nid | null;
  readonly backupTid: Tid | null;
  readonly truncateTid: Tid | null;
  setClusterName(name: string): Promise<void>;
  /** Also renames the node's own cells. */
  setNid(nid: Nid): Promise<void>;
  setBackupTid(tid: Tid | null): Promise<void>;
  setTruncateTid(tid: Tid | null): Promise<void>;

  // Partition table.

  /** Number of partitions, 0 without partition table. */
  readonly partitions: number;
  /** `null` if there is no partition table yet. */
  loadPartitionTable(): Promise<SavedPartitionTable | null>;
  /**
   * Saves changes, durably; with `reset` the given cells are the whole table. The sets used by
   * `isAssigned` and `isReadable` change at once. Requires an own nid.
   *
   * @param lastPack id of the last approved pack known to the node: what new own cells that are not
   *   readable start from.
   * @throws {LimitError} if there are more than 65536 partitions.
   */
  changePartitionTable(
    ptid: number,
    replicas: number,
    changes: readonly CellChange[],
    reset: boolean,
    lastPack?: Tid,
  ): Promise<void>;
  /** Whether this node has a cell of the partition, in any state. */
  isAssigned(partition: number): boolean;
  /** Whether this node's cell is up-to-date or feeding. */
  isReadable(partition: number): boolean;
  /** Id of the last completed pack of each own cell, in order of partition. */
  completedPacks(): Promise<{ readonly partition: number; readonly pack: Tid }[]>;

  // Commit.

  /** Tid of the last committed record of an object, deletions included; `null` if there is none. */
  lastSerial(oid: Oid): Promise<Tid | null>;
  /**
   * Stores raw data and holds a reference to it until `unlock`, `abort` or `releaseData`. Returns
   * at once: an insertion that fails makes `vote` fail.
   *
   * @throws {LimitError} if the oid or the data is out of the limits of the database, or if with
   *   deduplication there is different data with the same checksum.
   */
  storeData(oid: Oid, data: ObjectData): Promise<DataId>;
  /**
   * Holds a reference to the data of the record (oid, serial): the id, or `null` if that record has
   * no data, or `undefined` if there is no such record.
   *
   * @throws {UndoPackError} if there is no such record and the partition is readable.
   */
  shareData(oid: Oid, serial: Tid): Promise<DataId | null | undefined>;
  /** Drops references; data that nothing refers to any more is deleted. */
  releaseData(ids: readonly DataId[]): void;
  /** Reads back data stored by a running transaction. */
  loadData(id: DataId): Promise<ObjectData>;
  /**
   * Durable. `metadata` only on the holders of the transaction's partition.
   *
   * @throws {LimitError} if an id or the metadata is out of the limits of the database.
   */
  vote(
    ttid: Tid,
    objects: readonly StoredObject[],
    metadata: TransactionMetadata | null,
    pack: PackRequest | null,
  ): Promise<void>;
  /** Durable. Saves the final tid; only called on holders of metadata. */
  lock(ttid: Tid, tid: Tid, approvePack: boolean): Promise<void>;
  /**
   * Moves a voted transaction to the committed tables and drops its references to data. Not durable
   * by itself, visible to reads that follow.
   */
  unlock(ttid: Tid, tid: Tid, objects: readonly StoredObject[], hasMetadata: boolean): void;
  /** Durable. Forgets a voted or unvoted transaction; `ids` are the references it holds. */
  abort(ttid: Tid, ids: readonly DataId[]): Promise<void>;

  // Recovery.

  /** Voted transactions that are not finished: ttid → final tid if locked. */
  lockedTransactions(): Promise<Map<Tid, Tid | null>>;
  /** Final tid of a committed transaction, `null` if it is not committed here. */
  finalTid(ttid: Tid): Promise<Tid | null>;
  /** Durable. Locks (approving the pack order) and unlocks whatever exists of a voted transaction. */
  validate(ttid: Tid, tid: Tid): Promise<void>;
  /** Durable. Deletes what unfinished transactions left, references and pack orders included. */
  dropUnfinished(): Promise<void>;
  /** Over readable partitions. */
  lastIds(): Promise<LastIds>;
  /** Deletes, durably, all that is after `truncateTid` in all partitions, then clears it. */
  truncate(): Promise<void>;
  /** Pack orders with an id ≥ `minId` of readable partitions, by increasing id. */
  packOrders(minId: Tid): Promise<PackOrder[]>;
  /** Durable if anything changed. Signs known orders. */
  signPackOrders(approved: readonly Tid[], rejected: readonly Tid[]): Promise<void>;

  // Packing.

  /**
   * Deletes some of the records that a pack order makes useless, and their data if nothing else
   * refers to it. For each object, of its records up to the pack tid, only the last one is kept, and
   * even that one goes if it has no data. Records go in order, and links of undos stay as they are:
   * it can stop between any two slices, or be done again.
   *
   * A slice waits until the database has time for it and is short, compared with a commit. It has
   * taken effect, not durably, when the promise settles; reads called before may see it or not.
   *
   * @param wanted asked at the last moment: if it says no, nothing is done, and `next` is `from`.
   */
  packSlice(
    partition: number,
    scope: PackScope,
    from: PackPosition,
    wanted: () => boolean,
  ): Promise<PackedSlice>;
  /** Durable, with all the slices before. Saves the last order that is completed in an own cell. */
  setCompletedPack(partition: number, id: Tid): Promise<void>;

  /** What storages do with cells, besides the commits of clients. */
  readonly cells: CellContents;

  // Reads. The caller checks that cells are readable.

  /**
   * The record exactly `at` a tid, or the last one strictly `before` a tid, or the last one.
   *
   * @returns `null` if the object has records but none that matches, `undefined` if it has no record.
   */
  object(oid: Oid, at: Tid | null, before: Tid | null): Promise<ObjectRecord | null | undefined>;
  transaction(tid: Tid): Promise<CommittedTransaction | null>;
  /** By descending tid; sizes are those of the stored bytes, 0 without data. */
  history(
    oid: Oid,
    first: number,
    last: number,
  ): Promise<{ readonly tid: Tid; readonly size: number }[]>;
  /** Tids of transactions of the given partitions, descending. */
  tids(partitions: readonly number[], first: number, last: number): Promise<Tid[]>;
  /** Tids of a partition with `min` ≤ tid ≤ `max`, ascending, at most `length`. */
  tidsFrom(partition: number, min: Tid, max: Tid, length: number): Promise<Tid[]>;
  /**
   * Examines up to `length` oids ≥ `minOid` that have a record at or before `tid`, and lists those
   * whose last such record is not a deletion. `next` is `null` at the end.
   */
  oidsFrom(
    partition: number,
    minOid: Oid,
    tid: Tid,
    length: number,
  ): Promise<{ readonly next: Oid | null; readonly oids: Oid[] }>;
  /**
   * The revisions needed to undo `undone` for one object: whether it wrote the object, the previous
   * revision, and of the later ones, ascending, those made by undo and the last one before `snapshot`.
   */
  undoHistory(oid: Oid, undone: Tid, snapshot: Tid): Promise<
    {
      readonly previous: Tid | null;
      readonly later: readonly { readonly tid: Tid; readonly dataSerial: Tid | null }[];
    } | null
  >;
}
