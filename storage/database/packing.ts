/**
 * Execution of pack orders, a slice of records at a time.
 *
 * Of the records of an object up to the pack tid, those that another one follows are deleted, and a
 * last one without data as well. So it takes two neighbours in the order of the primary key to decide
 * about the first: a slice examines a range of that key and leaves its last record to the next slice,
 * wherever it ends inside an object.
 *
 * @module
 */

import { type Oid, type Tid, toOid, ZERO_TID } from "../../protocol/ids.ts";
import { clampBound, type Context, isStorable } from "./context.ts";
import type { DataStore } from "./data.ts";
import {
  type DataId,
  PACK_START,
  type PackedSlice,
  type PackPosition,
  type PackScope,
} from "./database.ts";
import { Pace } from "./pace.ts";
import { asBigInt, asOid, asTid, deleteAny, nullable, type Row } from "./sql.ts";

interface PackedRecord {
  readonly oid: Oid;
  readonly tid: Tid;
  /** `null` without data. */
  readonly dataId: DataId | null;
}

/** Records in the order of the primary key, and where the following ones are. */
interface Scan {
  readonly records: readonly PackedRecord[];
  readonly next: PackPosition | null;
}

/** Executes pack orders. */
export class Packing {
  readonly #pace = new Pace();
  readonly #records: string;
  readonly #recordsOfObject: string;

  constructor(readonly context: Context, readonly data: DataStore) {
    const select = "SELECT oid, tid, data_id FROM obj " +
      `${context.engine.dialect.byOid} WHERE \`partition\` = ? AND `;
    this.#records = `${select} oid >= ? ORDER BY oid, tid LIMIT ?`;
    this.#recordsOfObject = `${select} oid = ? AND tid >= ? AND tid <= ? ORDER BY tid LIMIT ?`;
  }

  /** See `Database.packSlice`. */
  async slice(
    partition: number,
    scope: PackScope,
    from: PackPosition,
    wanted: () => boolean,
  ): Promise<PackedSlice> {
    const { queue, now } = this.context;
    const limit = this.#pace.rows;
    const packTid = clampBound(scope.packTid);
    // All records up to the pack tid were unlocked before anybody could ask to pack.
    if (from.oid === PACK_START.oid && from.tid === PACK_START.tid) {
      await this.context.committedVisible();
    }
    const start = now();
    const scan = scope.oids === null
      ? await this.#scan(partition, packTid, from, limit)
      : await this.#scanObjects(partition, packTid, scope.oids, from, limit);
    const useless = uselessRecords(scan, packTid);
    let time = now() - start;
    let done = true;
    if (useless.length > 0) {
      time = await queue.inBackground(() => {
        done = wanted();
        if (done) this.#delete(partition, useless);
      });
    }
    if (!done) return { next: from, deleted: 0 };
    this.#pace.took(time, queue.commitTime);
    return { next: scan.next, deleted: useless.length };
  }

  /** Reads records of any object. */
  async #scan(
    partition: number,
    packTid: Tid,
    { oid, tid }: PackPosition,
    limit: number,
  ): Promise<Scan> {
    const records: PackedRecord[] = [];
    let first: bigint = oid;
    if (tid !== ZERO_TID) {
      records.push(...await this.#ofObject(partition, oid, tid, packTid, limit));
      first++;
    }
    if (records.length < limit && isStorable(first as Oid)) {
      const rows = limit - records.length;
      records.push(...await this.#read(this.#records, partition, first, rows));
    }
    const last = records.at(-1);
    if (last === undefined || records.length < limit) return { records, next: null };
    if (last.tid <= packTid) return { records, next: last };
    // Nothing more of that object is concerned.
    const following = last.oid + 1n;
    const next = isStorable(following as Oid) ? { oid: toOid(following), tid: ZERO_TID } : null;
    return { records, next };
  }

  /** Reads records of given objects. */
  async #scanObjects(
    partition: number,
    packTid: Tid,
    oids: readonly Oid[],
    from: PackPosition,
    limit: number,
  ): Promise<Scan> {
    const records: PackedRecord[] = [];
    let examined = 0;
    for (let i = indexOf(oids, from.oid); i < oids.length; i++) {
      const oid = oids[i] as Oid;
      const rows = limit - examined;
      // A single record could not be decided about.
      if (rows < 2) return { records, next: { oid, tid: ZERO_TID } };
      const tid = oid === from.oid ? from.tid : ZERO_TID;
      const found = await this.#ofObject(partition, oid, tid, packTid, rows);
      records.push(...found);
      examined += Math.max(found.length, 1);
      if (found.length === rows) return { records, next: found.at(-1) ?? null };
    }
    return { records, next: null };
  }

  #ofObject(
    partition: number,
    oid: Oid,
    from: Tid,
    packTid: Tid,
    limit: number,
  ): Promise<PackedRecord[]> {
    if (!isStorable(oid)) return Promise.resolve([]);
    return this.#read(this.#recordsOfObject, partition, oid, from, packTid, limit);
  }

  async #read(sql: string, ...parameters: (number | bigint)[]): Promise<PackedRecord[]> {
    const rows = await this.context.read(sql, ...parameters);
    return rows.map(([oid, tid, dataId]) => ({
      oid: asOid(oid),
      tid: asTid(tid),
      dataId: nullable(dataId, asBigInt),
    }));
  }

  #delete(partition: number, useless: readonly PackedRecord[]): void {
    const { queue, unlocked, engine: { dialect } } = this.context;
    const ids = useless.map(({ dataId }) => dataId).filter((id) => id !== null);
    const condition = "`partition` = ? AND oid = ? AND tid >= ? AND tid <= ?";
    const ranges = rangesOf(useless).map((range) => [partition, ...range]);
    unlocked.addDeletions(queue.write(
      ...deleteAny("DELETE FROM obj WHERE", condition, ranges, dialect.rowsPerDelete),
      ...this.data.prune(ids),
    ));
  }
}

/** Where an oid is, or would be, in an ascending list. */
function indexOf(oids: readonly Oid[], oid: Oid): number {
  let low = 0;
  let high = oids.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((oids[middle] as Oid) < oid) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The records to delete. */
function uselessRecords(scan: Scan, packTid: Tid): PackedRecord[] {
  const { records, next } = scan;
  return records.filter(({ oid, tid, dataId }, i) => {
    if (tid > packTid) return false;
    const following = records[i + 1];
    // The next slice begins with the last one.
    if (following === undefined && next?.oid === oid && next.tid === tid) return false;
    const isLast = following === undefined || following.oid !== oid || following.tid > packTid;
    return !isLast || dataId === null;
  });
}

/** Ranges of tids: oid, first, last. Records of an object follow each other without gap. */
function rangesOf(records: readonly PackedRecord[]): Row[] {
  const ranges: [Oid, Tid, Tid][] = [];
  for (const { oid, tid } of records) {
    const range = ranges.at(-1);
    if (range?.[0] === oid) range[2] = tid;
    else ranges.push([oid, tid, tid]);
  }
  return ranges;
}
