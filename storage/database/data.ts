/**
 * Tables `data` and `bigdata`: raw data, referenced by the records of objects.
 *
 * A row is needed as long as a record or a running transaction refers to it. References of running
 * transactions (*volatile* ones) are counted in memory.
 *
 * @module
 */

import assert from "node:assert/strict";
import { hash } from "node:crypto";
import type { Oid, Tid } from "../../protocol/ids.ts";
import { checkStorable, type Context, isStorable } from "./context.ts";
import {
  DatabaseError,
  type DataId,
  LimitError,
  type ObjectData,
  UndoPackError,
} from "./database.ts";
import type { PartitionTable } from "./partition_table.ts";
import {
  asBigInt,
  asBytes,
  asNumber,
  type BigDataDialect,
  deleteAny,
  type Engine,
  nullable,
  type Row,
  type Write,
  write,
} from "./sql.ts";

/** Flag in column `compression`: `value` is a pointer to chunks in `bigdata`. */
const BIG = 0x80;
/** Each partition has its own range of ids, so that its data stays together. */
const PARTITION_SHIFT = 48n;

const UNREFERENCED = "NOT EXISTS (SELECT 1 FROM obj WHERE obj.data_id = data.id)";

/** Big data is gone: what referred to it was deleted meanwhile, or the database is damaged. */
export class MissingChunkError extends DatabaseError {}

/** Stores, shares, releases and reads raw data. */
export class DataStore {
  readonly #references = new Map<DataId, number>();
  /** Next id of each partition that stored something. */
  readonly #nextIds = new Map<number, DataId>();
  /** Next id of chunks: 1 as long as there never was any. */
  #nextBigId = 1;
  #era = 0;
  /** Changes whenever a row that is found now may be deleted by what is queued. */
  #epoch = 0;
  /** The store that is looking for duplicates: one at a time. */
  #dedup: Promise<unknown> = Promise.resolve();

  constructor(
    readonly context: Context,
    readonly table: PartitionTable,
    readonly deduplicates: boolean,
  ) {}

  /** Forgets what depends on the number of partitions. No transaction may be running. */
  reset(): void {
    this.#nextIds.clear();
  }

  /**
   * See `Database.storeData`.
   *
   * @param later receives the writes instead of the queue, unless they may not wait.
   */
  async store(oid: Oid, data: ObjectData, later?: Write[]): Promise<DataId> {
    checkStorable(oid);
    const { maxData } = this.context.engine.dialect;
    if (data.data.byteLength > maxData) {
      throw new LimitError(
        `the database can not store ${data.data.byteLength} bytes, at most ${maxData}`,
      );
    }
    const partition = this.table.partitionOf(oid);
    if (!this.#nextIds.has(partition)) await this.#findNextIds(partition);
    if (!this.deduplicates) return this.#insert(partition, data, later);
    const result = this.#dedup.then(() => this.#storeUnique(partition, data));
    this.#dedup = result.catch(() => {});
    return await result;
  }

  /** See `Database.shareData`. */
  async share(oid: Oid, serial: Tid): Promise<DataId | null | undefined> {
    const partition = this.table.partitionOf(oid);
    for (;;) {
      const epoch = this.#epoch;
      await this.context.objectVisible(oid);
      // What is being packed must not be held.
      await this.context.queue.visible(this.context.unlocked.deletions);
      const [row] = isStorable(oid) && isStorable(serial)
        ? await this.context.read(
          "SELECT data_id FROM obj WHERE `partition` = ? AND oid = ? AND tid = ?",
          partition,
          oid,
          serial,
        )
        : [];
      if (row === undefined) {
        if (!this.table.isReadable(partition)) return undefined;
        throw new UndoPackError(`oid ${oid} has no record at ${serial}: it was packed`);
      }
      const id = nullable(row[0], asBigInt);
      if (id === null) return null;
      if (epoch === this.#epoch) {
        this.hold(id);
        return id;
      }
    }
  }

  /** Holds the data of the record (oid, serial) if it is what is expected, else returns `null`. */
  async shareSame(oid: Oid, serial: Tid, data: ObjectData): Promise<DataId | null> {
    if (!isStorable(serial)) return null;
    for (;;) {
      const epoch = this.#epoch;
      const [row] = await this.context.read(
        "SELECT d.compression, d.hash, d.value, d.id FROM obj o JOIN data d ON d.id = o.data_id " +
          "WHERE o.`partition` = ? AND o.oid = ? AND o.tid = ?",
        this.table.partitionOf(oid),
        oid,
        serial,
      );
      if (row === undefined) return null;
      const [flags, hash, , id] = row;
      if (((nullable(flags, asNumber) ?? 0) & ~BIG) !== data.compression) return null;
      if (!sameBytes(asBytes(hash), data.checksum)) return null;
      const found = await this.#decodeUndamaged(row);
      if (epoch !== this.#epoch) continue;
      if (found === null || !sameBytes(found.data, data.data)) return null;
      this.hold(asBigInt(id));
      return asBigInt(id);
    }
  }

  /** Rows of data after an id: those that nothing refers to, and the last one. */
  async orphans(
    after: DataId,
    limit: number,
  ): Promise<{ orphans: DataId[]; last: DataId | null }> {
    await this.context.queue.visible();
    const deferred = this.context.engine.dialect.tables.includes("todel")
      ? " OR EXISTS (SELECT 1 FROM todel WHERE todel.data_id = data.id)"
      : "";
    const rows = await this.context.read(
      `SELECT id, NOT ${UNREFERENCED}${deferred} FROM data WHERE id > ? ORDER BY id LIMIT ?`,
      after,
      limit,
    );
    const orphans: DataId[] = [];
    for (const [id, referenced] of rows) {
      const found = asBigInt(id);
      if (asNumber(referenced) === 0 && !this.#references.has(found)) orphans.push(found);
    }
    const last = rows.at(-1);
    return { orphans, last: last === undefined ? null : asBigInt(last[0]) };
  }

  /** Changes when all the volatile references are dropped: those from before must not be released. */
  get era(): number {
    return this.#era;
  }

  /** Adds a volatile reference. */
  hold(id: DataId): void {
    this.#references.set(id, (this.#references.get(id) ?? 0) + 1);
  }

  /** Drops volatile references of data that records refer to. */
  release(ids: Iterable<DataId>): void {
    for (const id of ids) {
      const count = this.#references.get(id);
      if (count === undefined) continue; // Everything was released meanwhile.
      if (count > 1) this.#references.set(id, count - 1);
      else this.#references.delete(id);
    }
  }

  /** Drops all the volatile references and returns what they were to. */
  releaseAll(): DataId[] {
    const ids = [...this.#references.keys()];
    this.#references.clear();
    this.#era++;
    return ids;
  }

  /** The writes that delete, among the given data, what nothing refers to. */
  prune(ids: Iterable<DataId>): Write[] {
    const rows = [...new Set(ids)].filter((id) => !this.#references.has(id)).map((id) => [id]);
    if (rows.length === 0) return [];
    this.#epoch++;
    return this.#deleteUnreferenced("data.id = ?", rows);
  }

  /** Finds where the ids of chunks continue. */
  async load(engine: Engine): Promise<void> {
    if (engine.dialect.bigData === null) return;
    const [row] = await engine.read("SELECT MAX(id) FROM bigdata", []);
    this.#nextBigId = (nullable(row?.[0], asNumber) ?? 0) + 1;
  }

  /** Examines the rows whose deletion was deferred by a program that does so. */
  async pruneDeferred(): Promise<void> {
    const { queue, engine } = this.context;
    if (!engine.dialect.tables.includes("todel")) return;
    for (;;) {
      const rows = await this.context.read("SELECT data_id FROM todel ORDER BY data_id LIMIT 1000");
      const last = rows.at(-1);
      if (last === undefined) return;
      await queue.commit(
        ...this.prune(rows.map(([id]) => asBigInt(id))),
        write("DELETE FROM todel WHERE data_id <= ?", asBigInt(last[0])),
      );
    }
  }

  /** See `Database.loadData`. */
  async loadData(id: DataId): Promise<ObjectData> {
    await this.context.queue.visible();
    const [row] = await this.context.read(
      "SELECT compression, hash, value FROM data WHERE id = ?",
      id,
    );
    if (row === undefined) throw new DatabaseError(`data ${id} is missing`);
    return this.decode(row);
  }

  /** Makes data from columns `compression`, `hash`, `value`. */
  decode([compression, hash, value]: Row): ObjectData | Promise<ObjectData> {
    const flags = nullable(compression, asNumber) ?? 0;
    const data = asBytes(value);
    if ((flags & BIG) === 0) return { compression: flags, checksum: asBytes(hash), data };
    return this.#loadChunks(data).then((data) => ({
      compression: flags & ~BIG,
      checksum: asBytes(hash),
      data,
    }));
  }

  async #loadChunks(pointer: Uint8Array): Promise<Uint8Array> {
    const view = new DataView(pointer.buffer, pointer.byteOffset, pointer.byteLength);
    const first = view.getUint32(0);
    const data = new Uint8Array(view.getUint32(4));
    // One by one: all together they could be more than the server may answer at once.
    for (let id = first, offset = 0; offset < data.byteLength; id++) {
      const [row] = await this.context.read("SELECT value FROM bigdata WHERE id = ?", id);
      if (row === undefined) {
        throw new MissingChunkError(`chunk ${id} of big data ${first} is missing`);
      }
      const chunk = asBytes(row[0]);
      data.set(chunk, offset);
      offset += chunk.byteLength;
    }
    return data;
  }

  /** Decodes a row, `null` if that is impossible: a part of it may be deleted meanwhile, or damaged. */
  async #decodeUndamaged(row: Row): Promise<ObjectData | null> {
    try {
      return await this.decode(row);
    } catch (error) {
      if (error instanceof DatabaseError && !(error instanceof MissingChunkError)) throw error;
      return null;
    }
  }

  /**
   * Finds where a partition continues. Rows after the last one that is referenced were left by
   * transactions that a crash interrupted before their vote: they are deleted.
   */
  async #findNextIds(partition: number): Promise<void> {
    const start = BigInt(partition) << PARTITION_SHIFT;
    const end = BigInt(partition + 1) << PARTITION_SHIFT;
    // Before and after: a transaction may be unlocked during the read, which would not see it.
    const referenced = this.#nextUnreferenced(start, end);
    await this.context.committedVisible();
    const [row] = await this.context.read(
      "SELECT MAX(data_id) FROM obj WHERE data_id >= ? AND data_id < ?",
      start,
      end,
    );
    if (this.#nextIds.has(partition)) return; // Found at the same time for another store.
    const last = nullable(row?.[0], asBigInt) ?? -1n;
    const next = [referenced, last + 1n].reduce(
      (a, b) => a > b ? a : b,
      this.#nextUnreferenced(start, end),
    );
    this.#nextIds.set(partition, next);
    this.#epoch++;
    this.context.queue.write(...this.#deleteUnreferenced("data.id >= ? AND data.id < ?", [
      [next, end],
    ]));
  }

  /** The id after those of a range that have volatile references. */
  #nextUnreferenced(start: bigint, end: bigint): DataId {
    let next = start;
    for (const id of this.#references.keys()) if (id >= next && id < end) next = id + 1n;
    return next;
  }

  #deleteUnreferenced(condition: string, rows: readonly Row[]): Write[] {
    const { bigData, rowsPerDelete } = this.context.engine.dialect;
    const deleteRows = (head: string) =>
      deleteAny(head, condition, rows, rowsPerDelete, ` AND ${UNREFERENCED}`);
    return [
      ...bigData !== null && this.#nextBigId > 1 ? deleteRows(bigData.deleteChunks) : [],
      ...deleteRows("DELETE FROM data WHERE"),
    ];
  }

  /** Inserts a row of which the id must be known to be free. */
  #insert(
    partition: number,
    { compression, checksum, data }: ObjectData,
    later?: Write[],
  ): DataId {
    const id = this.#nextIds.get(partition);
    assert(id !== undefined, "the ids of the partition must have been looked up");
    this.#nextIds.set(partition, id + 1n);
    this.hold(id);
    const { value, flag, chunks } = this.#encode(data);
    const writes = [
      ...chunks,
      write("INSERT INTO data VALUES (?, ?, ?, ?)", id, checksum, compression | flag, value),
    ];
    if (later === undefined) this.context.queue.write(...writes);
    else later.push(...writes);
    return id;
  }

  /** Gives a row its value back. The chunks of the damaged one are not looked for. */
  #heal(id: DataId, data: Uint8Array): void {
    const { value, chunks } = this.#encode(data);
    this.context.queue.write(...chunks, write("UPDATE data SET value = ? WHERE id = ?", value, id));
  }

  /** Column `value` of some data, the flag in `compression`, and what writes its chunks. */
  #encode(data: Uint8Array): { value: Uint8Array; flag: number; chunks: Write[] } {
    const { bigData } = this.context.engine.dialect;
    if (bigData === null || data.byteLength < bigData.threshold) {
      return { value: data, flag: 0, chunks: [] };
    }
    const { pointer, chunks } = this.#cut(data, bigData);
    return { value: pointer, flag: BIG, chunks: [chunks] };
  }

  /** Cuts a value in chunks with consecutive ids. */
  #cut(data: Uint8Array, { chunk }: BigDataDialect): { pointer: Uint8Array; chunks: Write } {
    const first = this.#nextBigId;
    const rows: Row[] = [];
    for (let offset = 0; offset < data.byteLength; offset += chunk) {
      rows.push([first + rows.length, data.subarray(offset, offset + chunk)]);
    }
    this.#nextBigId = first + rows.length;
    const pointer = new Uint8Array(8);
    const view = new DataView(pointer.buffer);
    view.setUint32(0, first);
    view.setUint32(4, data.byteLength);
    return { pointer, chunks: { sql: "INSERT INTO bigdata VALUES (?, ?)", rows } };
  }

  /** Inserts data, or holds the row that has the same content. */
  async #storeUnique(partition: number, data: ObjectData): Promise<DataId> {
    for (;;) {
      const epoch = this.#epoch;
      await this.context.queue.visible();
      const { dialect } = this.context.engine;
      const big = dialect.bigData !== null && data.data.byteLength >= dialect.bigData.threshold;
      const [row] = await this.context.read(
        "SELECT compression, hash, value, id FROM data WHERE hash = ? AND compression = ?",
        data.checksum,
        big ? data.compression | BIG : data.compression,
      );
      const existing = row === undefined ? null : await this.#decodeUndamaged(row);
      if (epoch !== this.#epoch) continue;
      if (row === undefined) return this.#insert(partition, data);
      const id = asBigInt(row[3]);
      if (existing === null || !sameBytes(existing.data, data.data)) {
        // The data given has its checksum.
        if (existing !== null && sameBytes(hash("sha1", existing.data, "buffer"), data.checksum)) {
          throw new LimitError("deduplication: there is different data with the same SHA-1");
        }
        this.#heal(id, data.data);
      }
      this.hold(id);
      return id;
    }
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}
