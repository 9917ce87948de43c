/**
 * Reads of committed objects and transactions.
 *
 * @module
 */

import { add64, MAX_TID, type Oid, type Tid, toOid, ZERO_OID } from "../../protocol/ids.ts";
import { clampBound, type Context, isStorable } from "./context.ts";
import { type DataStore, MissingChunkError } from "./data.ts";
import type { CommittedTransaction, Database, LastIds, ObjectRecord } from "./database.ts";
import { unpackOids } from "./packed_oids.ts";
import type { PartitionTable } from "./partition_table.ts";
import {
  asBigInt,
  asBytes,
  asNumber,
  asOid,
  asTid,
  nullable,
  type Row,
  type Value,
} from "./sql.ts";
import { mergeTids } from "./tid_merge.ts";

type UndoHistory = Awaited<ReturnType<Database["undoHistory"]>>;

/** All the reads that are not part of a commit. */
export class Reads {
  readonly #objectAt: string;
  readonly #objectBefore: string;
  readonly #objectLast: string;
  readonly #history: string;
  readonly #lastSerial: string;
  readonly #serialBefore: string;
  readonly #undosSince: string;
  readonly #oids: string;

  constructor(
    readonly context: Context,
    readonly table: PartitionTable,
    readonly data: DataStore,
  ) {
    const { byOid, dataSize } = context.engine.dialect;
    const record = (next: string, condition: string) =>
      `SELECT d.compression, d.hash, d.value, o.tid, o.data_id, o.value_tid, ${next} ` +
      `FROM obj o ${byOid} LEFT JOIN data d ON d.id = o.data_id ` +
      `WHERE o.\`partition\` = ? AND o.oid = ? ${condition}`;
    const next = "(SELECT MIN(n.tid) FROM obj n " +
      "WHERE n.`partition` = ? AND n.oid = ? AND n.tid > o.tid)";
    const last = "ORDER BY o.tid DESC LIMIT 1";
    this.#objectAt = record(next, "AND o.tid = ?");
    this.#objectBefore = record(next, `AND o.tid < ? ${last}`);
    this.#objectLast = record("NULL", last);
    this.#history = `SELECT o.tid, ${dataSize} FROM obj o ${byOid} ` +
      "LEFT JOIN data d ON d.id = o.data_id WHERE o.`partition` = ? AND o.oid = ? " +
      "ORDER BY o.tid DESC LIMIT ? OFFSET ?";
    const ofObject = `FROM obj ${byOid} WHERE \`partition\` = ? AND oid = ?`;
    this.#lastSerial = `SELECT tid ${ofObject} ORDER BY tid DESC LIMIT 1`;
    this.#serialBefore = `SELECT tid ${ofObject} AND tid < ? ORDER BY tid DESC LIMIT 1`;
    // Histories may be very long, undos are few.
    this.#undosSince = `SELECT tid, value_tid ${ofObject} AND tid >= ? ` +
      `AND (tid = ? OR value_tid IS NOT NULL OR tid = (SELECT MAX(tid) ${ofObject} AND tid < ?)) ` +
      "ORDER BY tid";
    // `+tid` keeps SQLite from using the index by tid.
    this.#oids = `SELECT o.oid, o.data_id FROM (SELECT oid, MAX(tid) AS tid FROM obj ${byOid} ` +
      "WHERE `partition` = ? AND oid >= ? AND +tid <= ? GROUP BY oid ORDER BY oid LIMIT ?) l " +
      "JOIN obj o ON o.`partition` = ? AND o.oid = l.oid AND o.tid = l.tid ORDER BY o.oid";
  }

  /** See `Database.lastSerial`. */
  async lastSerial(oid: Oid): Promise<Tid | null> {
    const queued = this.context.unlocked.serialOf(oid);
    if (queued !== undefined) return queued;
    if (!isStorable(oid)) return null;
    await this.context.objectVisible(oid);
    const [row] = await this.context.read(
      this.#lastSerial,
      this.table.partitionOf(oid),
      oid,
    );
    return row === undefined ? null : asTid(row[0]);
  }

  /** See `Database.object`. */
  async object(
    oid: Oid,
    at: Tid | null,
    before: Tid | null,
  ): Promise<ObjectRecord | null | undefined> {
    if (!isStorable(oid)) return undefined;
    const visible = this.context.objectVisible(oid);
    if (visible !== undefined) await visible;
    const [row] = await this.#record(oid, at, before);
    if (row !== undefined) {
      try {
        return await this.#decode(row);
      } catch (error) {
        if (!(error instanceof MissingChunkError)) throw error;
        const [again] = await this.#record(oid, at, before);
        if (again?.[4] === row[4]) throw error;
        // It was packed between two queries.
        return await this.object(oid, at, before);
      }
    }
    if (at === null && before === null) return undefined;
    return await this.lastSerial(oid) === null ? undefined : null;
  }

  #record(oid: Oid, at: Tid | null, before: Tid | null): Promise<readonly Row[]> {
    const partition = this.table.partitionOf(oid);
    if (at === null && before === null) {
      return this.context.read(this.#objectLast, partition, oid);
    }
    const ids: Value[] = [partition, oid, partition, oid];
    if (at !== null) {
      if (!isStorable(at)) return Promise.resolve([]);
      return this.context.read(this.#objectAt, ...ids, at);
    }
    return before === null || isStorable(before)
      ? this.context.read(this.#objectBefore, ...ids, before)
      : this.context.read(this.#objectLast, partition, oid);
  }

  async #decode(row: Row): Promise<ObjectRecord> {
    const [, , , serial, dataId, dataSerial, nextSerial] = row;
    return {
      serial: asTid(serial),
      nextSerial: nullable(nextSerial, asTid),
      data: dataId === null ? null : await this.data.decode(row),
      dataSerial: nullable(dataSerial, asTid),
    };
  }

  /** See `Database.transaction`. */
  async transaction(tid: Tid): Promise<CommittedTransaction | null> {
    if (!isStorable(tid)) return null;
    await this.context.committedVisible();
    const [row] = await this.context.read(
      "SELECT packed, oids, user, description, ext, ttid FROM trans " +
        "WHERE `partition` = ? AND tid = ?",
      this.table.partitionOf(tid),
      tid,
    );
    if (row === undefined) return null;
    const [packed, oids, user, description, extension, ttid] = row;
    return {
      tid,
      ttid: asTid(ttid),
      packed: asNumber(packed) !== 0,
      oids: unpackOids(asBytes(oids)),
      user: asBytes(user),
      description: asBytes(description),
      extension: asBytes(extension),
    };
  }

  /** See `Database.history`. */
  async history(
    oid: Oid,
    first: number,
    last: number,
  ): Promise<{ tid: Tid; size: number }[]> {
    if (!isStorable(oid) || last <= first) return [];
    await this.context.objectVisible(oid);
    const partition = this.table.partitionOf(oid);
    const rows = await this.context.read(this.#history, partition, oid, last - first, first);
    return rows.map(([tid, size]) => ({
      tid: asTid(tid),
      size: nullable(size, asNumber) ?? 0,
    }));
  }

  /** See `Database.tids`. */
  async tids(partitions: readonly number[], first: number, last: number): Promise<Tid[]> {
    if (last <= first) return [];
    await this.context.committedVisible();
    return await mergeTids(partitions, first, last, async (partition, before, length) => {
      const rows = await this.context.read(
        "SELECT tid FROM trans WHERE `partition` = ? AND tid < ? ORDER BY tid DESC LIMIT ?",
        partition,
        before ?? MAX_TID,
        length,
      );
      return rows.map(([tid]) => asTid(tid));
    });
  }

  /** See `Database.tidsFrom`. */
  async tidsFrom(partition: number, min: Tid, max: Tid, length: number): Promise<Tid[]> {
    if (!isStorable(min)) return [];
    await this.context.committedVisible();
    const rows = await this.context.read(
      "SELECT tid FROM trans WHERE `partition` = ? AND tid >= ? AND tid <= ? ORDER BY tid LIMIT ?",
      partition,
      min,
      clampBound(max),
      length,
    );
    return rows.map(([tid]) => asTid(tid));
  }

  /** See `Database.oidsFrom`. */
  async oidsFrom(
    partition: number,
    minOid: Oid,
    tid: Tid,
    length: number,
  ): Promise<{ next: Oid | null; oids: Oid[] }> {
    if (!isStorable(minOid) || length <= 0) return { next: null, oids: [] };
    await this.context.committedVisible();
    const rows = await this.context.read(
      this.#oids,
      partition,
      minOid,
      clampBound(tid),
      length,
      partition,
    );
    const last = rows.at(-1);
    return {
      next: last === undefined || rows.length < length
        ? null
        : add64(asOid(last[0]), this.table.partitions),
      oids: rows.filter(([, dataId]) => dataId !== null).map(([oid]) => asOid(oid)),
    };
  }

  /** See `Database.undoHistory`. */
  async undoHistory(oid: Oid, undone: Tid, snapshot: Tid): Promise<UndoHistory> {
    if (!isStorable(oid) || !isStorable(undone)) return null;
    await this.context.objectVisible(oid);
    const partition = this.table.partitionOf(oid);
    const [[record, ...later], [previous]] = await Promise.all([
      this.context.read(
        this.#undosSince,
        partition,
        oid,
        undone,
        undone,
        partition,
        oid,
        clampBound(snapshot),
      ),
      this.context.read(
        this.#serialBefore,
        partition,
        oid,
        undone,
      ),
    ]);
    if (record === undefined || asTid(record[0]) !== undone) return null;
    return {
      previous: previous === undefined ? null : asTid(previous[0]),
      later: later.map(([tid, dataSerial]) => ({
        tid: asTid(tid),
        dataSerial: nullable(dataSerial, asTid),
      })),
    };
  }

  /** See `Database.lastIds`. */
  async lastIds(): Promise<LastIds> {
    await this.context.committedVisible();
    const extremes = await Promise.all(
      this.table.readable().map(async (partition) => {
        // Each one is a seek in an index.
        const max = async (column: string, table: string): Promise<bigint | null> => {
          const [row] = await this.context.read(
            `SELECT ${column} FROM ${table} WHERE \`partition\` = ?`,
            partition,
          );
          return nullable(row?.[0], asBigInt);
        };
        return await Promise.all([
          max("MIN(tid)", "trans"),
          max("MAX(tid)", "trans"),
          max("MAX(tid)", "obj"),
          max("MAX(oid)", "obj"),
        ]);
      }),
    );
    let firstTid: Tid = MAX_TID;
    let lastTid: Tid | null = null;
    let lastOid: Oid | null = null;
    for (const [first, lastTransaction, lastSerial, oid] of extremes) {
      if (first !== null && first < firstTid) firstTid = first as Tid;
      for (const tid of [lastTransaction, lastSerial]) {
        if (tid !== null && (lastTid === null || tid > lastTid)) lastTid = tid as Tid;
      }
      if (oid !== null && oid > (lastOid ?? ZERO_OID - 1n)) lastOid = toOid(oid);
    }
    return { lastTid, lastOid, firstTid };
  }
}
