/**
 * What a cell holds: comparing, copying and deleting it.
 *
 * @module
 */

import { type Oid, type Tid, ZERO_OID } from "../../protocol/ids.ts";
import type { CellContents, CopiedObject, CopiedTransaction, RecordId } from "./cell_contents.ts";
import { checkStorable, clampBound, type Context, isStorable } from "./context.ts";
import type { DataStore } from "./data.ts";
import type { DataId, PackOrder } from "./database.ts";
import {
  deleteObjectsAfter,
  deletePacksAfter,
  deleteTransactionsAfter,
  EVERYTHING,
} from "./deletion.ts";
import { Pace } from "./pace.ts";
import { packOids } from "./packed_oids.ts";
import { packOrdersOf } from "./packs.ts";
import type { PartitionTable } from "./partition_table.ts";
import { asBigInt, asOid, asTid, nullable, type Row, type Write } from "./sql.ts";
import { checkMetadata, type Transactions } from "./transactions.ts";

const FROM_OID = "AND tid = ? AND oid >= ?";
const AFTER_TID = "AND tid > ? AND tid <= ?";

/** The contents of the cells in the tables of a SQL database. */
export class SqlCellContents implements CellContents {
  readonly #copyPace = new Pace();
  readonly #dropPace = new Pace();
  readonly #searchPace = new Pace();
  /** Position of the last item that was added. */
  #added = 0;

  constructor(
    readonly context: Context,
    readonly table: PartitionTable,
    readonly data: DataStore,
    readonly transactions: Transactions,
  ) {}

  resumePoints(): Promise<Map<number, Tid>> {
    return this.table.resumePoints();
  }

  setResumePoint(partition: number, tid: Tid): void {
    this.context.queue.write(this.table.setResumePoint(partition, tid));
  }

  async records(
    partition: number,
    { tid, oid }: RecordId,
    max: Tid,
    length: number,
  ): Promise<RecordId[]> {
    if (!isStorable(tid) || length <= 0) return [];
    await this.context.committedVisible();
    // Two seeks: engines are slow with the disjunction.
    const rows = isStorable(oid) && tid <= max
      ? await this.#records(partition, FROM_OID, [tid, oid], length)
      : [];
    const rest = length - rows.length;
    if (rest > 0) {
      rows.push(...await this.#records(partition, AFTER_TID, [tid, clampBound(max)], rest));
    }
    return rows;
  }

  async #records(
    partition: number,
    condition: string,
    bounds: Row,
    length: number,
  ): Promise<RecordId[]> {
    const rows = await this.context.read(
      `SELECT tid, oid FROM obj ${this.context.engine.dialect.byTid} ` +
        `WHERE \`partition\` = ? ${condition} ORDER BY tid, oid LIMIT ?`,
      partition,
      ...bounds,
      length,
    );
    return rows.map(([tid, oid]) => ({ tid: asTid(tid), oid: asOid(oid) }));
  }

  packOrders(partition: number, min: Tid, max: Tid): Promise<Map<Tid, PackOrder>> {
    return packOrdersOf(this.context, this.table, partition, min, max);
  }

  addTransactions(transactions: readonly CopiedTransaction[]): void {
    const rows: Row[] = [];
    const packs: Row[] = [];
    for (const transaction of transactions) {
      const { tid, ttid, packed, oids, user, description, extension, pack } = transaction;
      checkStorable(tid, ttid);
      checkMetadata(this.context, transaction);
      const partition = this.table.partitionOf(tid);
      const flag = packed ? 1 : 0;
      rows.push([partition, tid, flag, packOids(oids), user, description, extension, ttid]);
      if (pack === null) continue;
      checkStorable(pack.packTid);
      packs.push([
        tid,
        nullableFlag(pack.approved),
        pack.partial ? 1 : 0,
        pack.oids === null ? null : packOids(pack.oids),
        pack.packTid,
      ]);
    }
    const writes: Write[] = [];
    if (rows.length > 0) {
      writes.push({ sql: "REPLACE INTO trans VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows });
    }
    if (packs.length > 0) {
      writes.push({ sql: "REPLACE INTO pack VALUES (?, ?, ?, ?, ?)", rows: packs });
    }
    this.#added = this.context.queue.write(...writes);
  }

  async addObjects(
    objects: readonly CopiedObject[],
    wanted: () => boolean = always,
  ): Promise<void> {
    for (let i = 0; i < objects.length && wanted();) {
      const slice = objects.slice(i, i + this.#copyPace.rows);
      i += slice.length;
      await this.#addSlice(slice, wanted);
    }
  }

  async #addSlice(objects: readonly CopiedObject[], wanted: () => boolean): Promise<void> {
    const { context: { queue }, data: store } = this;
    const { era: first } = store;
    const writes: Write[] = [];
    const rows: Row[] = [];
    const held: { readonly id: DataId; readonly era: number }[] = [];
    const added = new Map<Oid, { tid: Tid; id: DataId; object: CopiedObject }[]>();
    try {
      for (const object of objects) {
        if (!wanted()) break;
        const { oid, tid, data, dataSerial } = object;
        checkStorable(oid, tid, dataSerial ?? ZERO_OID);
        let id: DataId | null = null;
        if (data !== null) {
          const others = added.get(oid) ?? [];
          const same = others.find((other) => other.tid === dataSerial);
          if (same !== undefined && sameData(same.object, object)) id = same.id;
          else {
            id = await this.#store(oid, data, dataSerial, writes);
            held.push({ id, era: store.era });
          }
          if (others.length === 0) added.set(oid, others);
          others.push({ tid, id, object });
        }
        rows.push([this.table.partitionOf(oid), oid, tid, id, dataSerial]);
      }
    } finally {
      if (rows.length > 0) writes.push({ sql: "REPLACE INTO obj VALUES (?, ?, ?, ?, ?)", rows });
      let done = false;
      const time = await queue.inBackground(() => {
        // What was held before all was released may be held by others now.
        const present = held.filter(({ era }) => era === store.era).map(({ id }) => id);
        done = first === store.era && wanted();
        if (done) this.#added = queue.write(...writes);
        store.release(present);
        // Deduplicated data is stored already.
        if (!done) queue.write(...store.prune(present));
      });
      if (done) this.#copyPace.took(time, queue.commitTime);
    }
  }

  /** The data of the record that was undone is used again, if it is here: it may have been packed. */
  async #store(
    oid: Oid,
    data: NonNullable<CopiedObject["data"]>,
    dataSerial: Tid | null,
    later: Write[],
  ): Promise<DataId> {
    if (dataSerial !== null) {
      await this.context.queue.visible(this.#added);
      await this.context.objectVisible(oid);
      const id = await this.data.shareSame(oid, dataSerial, data);
      if (id !== null) return id;
    }
    return await this.data.store(oid, data, later);
  }

  deleteTransactions(partition: number, tids: readonly Tid[]): void {
    if (tids.length === 0) return;
    const { queue, unlocked } = this.context;
    unlocked.addMetadata(queue.write(
      {
        sql: "DELETE FROM trans WHERE `partition` = ? AND tid = ?",
        rows: tids.map((tid) => [partition, tid]),
      },
      { sql: "DELETE FROM pack WHERE tid = ?", rows: tids.map((tid) => [tid]) },
    ));
  }

  async deleteObjects(
    partition: number,
    records: readonly RecordId[],
    wanted: () => boolean = always,
  ): Promise<void> {
    if (records.length === 0) return;
    const { queue, unlocked } = this.context;
    await queue.visible();
    const ids: DataId[] = [];
    for (const { tid, oid } of records) {
      const [row] = await this.context.read(
        "SELECT data_id FROM obj WHERE `partition` = ? AND oid = ? AND tid = ?",
        partition,
        oid,
        tid,
      );
      const id = row === undefined ? null : nullable(row[0], asBigInt);
      if (id !== null) ids.push(id);
    }
    if (!wanted()) return;
    unlocked.addAll(queue.write(
      {
        sql: "DELETE FROM obj WHERE `partition` = ? AND oid = ? AND tid = ?",
        rows: records.map(({ tid, oid }) => [partition, oid, tid]),
      },
      ...this.data.prune(ids),
    ));
  }

  lowerPack(partition: number, pack: Tid): void {
    if (isStorable(pack)) this.context.queue.write(this.table.lowerPack(partition, pack));
  }

  raisePack(partition: number, pack: Tid): void {
    if (isStorable(pack)) this.context.queue.write(this.table.raisePack(partition, pack));
  }

  discardUnfinished(partitions: ReadonlySet<number>): void {
    this.transactions.discard(partitions);
  }

  get discarded(): readonly number[] {
    return this.table.discarded;
  }

  async dropSlice(partition: number): Promise<number> {
    const { context, data, table } = this;
    const { queue } = context;
    const execute = async (work: () => void) => {
      const time = await queue.inBackground(() => {
        // The partition may have been given back to this node meanwhile.
        if (table.isDiscarded(partition)) work();
      });
      this.#dropPace.took(time, queue.commitTime);
    };
    const { rows } = this.#dropPace;
    // It may have been filled until a moment ago.
    await queue.visible(this.#added);
    const deleted = await deleteObjectsAfter(context, data, partition, EVERYTHING, rows, execute) ||
      await deleteTransactionsAfter(context, partition, EVERYTHING, rows, execute);
    if (!table.isDiscarded(partition)) return 0;
    if (deleted > 0) return deleted;
    deletePacksAfter(context, table.partitions, partition, EVERYTHING);
    table.dropped(partition);
    return 0;
  }

  async orphans(after: DataId) {
    const { now } = this.context;
    const start = now();
    const found = await this.data.orphans(after, this.#searchPace.rows);
    this.#searchPace.took(now() - start, null);
    return found;
  }

  async deleteOrphans(ids: readonly DataId[]): Promise<void> {
    const { queue } = this.context;
    if (ids.length > 0) await queue.inBackground(() => queue.write(...this.data.prune(ids)));
  }
}

const always = (): boolean => true;

function nullableFlag(value: boolean | null): number | null {
  return value === null ? null : value ? 1 : 0;
}

function sameData(a: CopiedObject, b: CopiedObject): boolean {
  if (a.data === null || b.data === null || a.data.compression !== b.data.compression) return false;
  const { checksum } = b.data;
  return a.data.checksum.every((byte, i) => byte === checksum[i]);
}
