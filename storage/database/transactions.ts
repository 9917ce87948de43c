/**
 * The life of transactions in the database: voted ones are in `ttrans` and `tobj`, committed ones in
 * `trans` and `obj`. In `tobj`, column `tid` is the ttid; in `ttrans` it is NULL until the lock. The
 * row of a pack order in `pack` has the ttid as id until the unlock, then the tid.
 *
 * Everything here happens in the same turn of the event loop as the call, except reads.
 *
 * @module
 */

import type { Tid } from "../../protocol/ids.ts";
import { checkStorable, type Context, isStorable } from "./context.ts";
import type { DataStore } from "./data.ts";
import {
  type DataId,
  LimitError,
  type PackRequest,
  type StoredObject,
  type TransactionMetadata,
} from "./database.ts";
import { packOids } from "./packed_oids.ts";
import type { PartitionTable } from "./partition_table.ts";
import { asBigInt, asOid, asTid, type Engine, nullable, type Write, write } from "./sql.ts";

/** Votes, locks, unlocks, aborts, and what recovery needs of them. */
export class Transactions {
  /** Objects of the transactions that are in `tobj`. */
  readonly #voted = new Map<Tid, readonly StoredObject[]>();
  /** Transactions that order a pack: hardly any, so that others are spared its statements. */
  readonly #packing = new Set<Tid>();

  constructor(
    readonly context: Context,
    readonly table: PartitionTable,
    readonly data: DataStore,
  ) {}

  /** Reads what unfinished transactions left, and holds their references to data. */
  async load(engine: Engine): Promise<void> {
    const rows = await engine.read("SELECT tid, oid, data_id, value_tid FROM tobj", []);
    const voted = new Map<Tid, StoredObject[]>();
    for (const [tid, oid, id, valueTid] of rows) {
      const ttid = asTid(tid);
      let objects = voted.get(ttid);
      if (objects === undefined) voted.set(ttid, objects = []);
      const dataId = nullable(id, asBigInt);
      if (dataId !== null) this.data.hold(dataId);
      objects.push({ oid: asOid(oid), dataId, dataSerial: nullable(valueTid, asTid) });
    }
    for (const [ttid, objects] of voted) this.#voted.set(ttid, objects);
    const packs = await engine.read(
      "SELECT tid FROM pack WHERE tid IN (SELECT ttid FROM ttrans)",
      [],
    );
    for (const [ttid] of packs) this.#packing.add(asTid(ttid));
  }

  /** See `Database.vote`. */
  async vote(
    ttid: Tid,
    objects: readonly StoredObject[],
    metadata: TransactionMetadata | null,
    pack: PackRequest | null,
  ): Promise<void> {
    checkStorable(ttid);
    for (const { oid, dataSerial } of objects) {
      checkStorable(oid);
      if (dataSerial !== null) checkStorable(dataSerial);
    }
    const writes: Write[] = [];
    if (objects.length > 0) {
      writes.push({
        sql: "INSERT INTO tobj VALUES (?, ?, ?, ?, ?)",
        rows: objects.map(({ oid, dataId, dataSerial }) => [
          this.table.partitionOf(oid),
          oid,
          ttid,
          dataId,
          dataSerial,
        ]),
      });
    }
    if (metadata !== null) {
      checkMetadata(this.context, metadata);
      const { oids, user, description, extension } = metadata;
      writes.push(write(
        "INSERT INTO ttrans VALUES (?, NULL, 0, ?, ?, ?, ?, ?)",
        this.table.partitionOf(ttid),
        packOids(oids),
        user,
        description,
        extension,
        ttid,
      ));
    }
    if (pack !== null) {
      checkStorable(pack.tid);
      this.#packing.add(ttid);
      const oids = pack.oids === null ? null : packOids(pack.oids);
      writes.push(write(
        "INSERT INTO pack VALUES (?, NULL, ?, ?, ?)",
        ttid,
        oids === null ? 0 : 1,
        oids,
        pack.tid,
      ));
    }
    if (objects.length > 0) this.#voted.set(ttid, objects);
    await this.context.queue.commit(...writes);
  }

  /** See `Database.lock`. */
  lock(ttid: Tid, tid: Tid, approvePack: boolean): Promise<void> {
    return this.context.queue.commit(...lockWrites(ttid, tid, approvePack));
  }

  /** See `Database.unlock`. */
  unlock(ttid: Tid, tid: Tid, objects: readonly StoredObject[], hasMetadata: boolean): void {
    const { queue, unlocked } = this.context;
    const writes: Write[] = [];
    if (hasMetadata) writes.push(...unlockMetadata(ttid, tid));
    if (this.#packing.delete(ttid)) {
      writes.push(write("UPDATE pack SET tid = ? WHERE tid = ?", tid, ttid));
    }
    if (objects.length > 0) writes.push(...unlockObjects(ttid, tid));
    this.#voted.delete(ttid);
    const position = queue.write(...writes);
    if (hasMetadata) unlocked.addMetadata(position);
    for (const { oid } of objects) unlocked.add(oid, tid, position);
    this.data.release(dataOf(objects));
  }

  /** See `Database.abort`. */
  abort(ttid: Tid, ids: readonly DataId[]): Promise<void> {
    this.#voted.delete(ttid);
    this.data.release(ids);
    const packs = this.#packing.delete(ttid);
    return this.context.queue.commit(
      ...(isStorable(ttid) ? abortWrites(ttid, packs) : []), // Its vote was refused.
      ...this.data.prune(ids),
    );
  }

  /** See `Database.lockedTransactions`. */
  async locked(): Promise<Map<Tid, Tid | null>> {
    const { context } = this;
    await context.queue.visible();
    const locked = new Map<Tid, Tid | null>();
    for (const [ttid] of await context.read("SELECT DISTINCT tid FROM tobj")) {
      locked.set(asTid(ttid), null);
    }
    for (const [ttid, tid] of await context.read("SELECT ttid, tid FROM ttrans")) {
      locked.set(asTid(ttid), nullable(tid, asTid));
    }
    return locked;
  }

  /** See `Database.finalTid`. */
  async finalTid(ttid: Tid): Promise<Tid | null> {
    if (!isStorable(ttid)) return null;
    await this.context.committedVisible();
    const [row] = await this.context.read(
      "SELECT tid FROM trans WHERE `partition` = ? AND tid >= ? AND ttid = ? LIMIT 1",
      this.table.partitionOf(ttid),
      ttid,
      ttid,
    );
    return row === undefined ? null : asTid(row[0]);
  }

  /** See `Database.validate`. */
  validate(ttid: Tid, tid: Tid): Promise<void> {
    const objects = this.#voted.get(ttid) ?? [];
    this.context.queue.write(...lockWrites(ttid, tid, true));
    this.unlock(ttid, tid, objects, true);
    return this.context.queue.flush();
  }

  /** See `Database.dropUnfinished`. */
  dropUnfinished(): Promise<void> {
    this.#voted.clear();
    this.#packing.clear();
    const ids = this.data.releaseAll();
    return this.context.queue.commit(
      write("DELETE FROM pack WHERE tid IN (SELECT ttid FROM ttrans)"),
      write("DELETE FROM ttrans"),
      write("DELETE FROM tobj"),
      ...this.data.prune(ids),
    );
  }

  /** See `CellContents.discardUnfinished`. */
  discard(partitions: ReadonlySet<number>): void {
    const dropped: DataId[] = [];
    for (const [ttid, objects] of [...this.#voted]) {
      const kept = objects.filter(({ oid }) => !partitions.has(this.table.partitionOf(oid)));
      if (kept.length === objects.length) continue;
      dropped.push(...dataOf(objects.filter((object) => !kept.includes(object))));
      if (kept.length === 0) this.#voted.delete(ttid);
      else this.#voted.set(ttid, kept);
    }
    this.data.release(dropped);
    const rows = [...partitions].map((partition) => [partition]);
    this.context.queue.write(
      {
        sql: "DELETE FROM pack WHERE tid IN (SELECT ttid FROM ttrans WHERE `partition` = ?)",
        rows,
      },
      { sql: "DELETE FROM ttrans WHERE `partition` = ?", rows },
      { sql: "DELETE FROM tobj WHERE `partition` = ?", rows },
      ...this.data.prune(dropped),
    );
  }
}

/** @throws {LimitError} if the database can't hold such metadata. */
export function checkMetadata(
  { engine }: Context,
  { user, description, extension }: TransactionMetadata,
): void {
  const { maxMetadata } = engine.dialect;
  if (maxMetadata === null) return;
  for (const [name, value] of Object.entries({ user, description, extension })) {
    if (value.byteLength > maxMetadata) {
      throw new LimitError(
        `the ${name} of a transaction can not exceed ${maxMetadata} bytes, ` +
          `this one has ${value.byteLength}`,
      );
    }
  }
}

function abortWrites(ttid: Tid, packs: boolean): Write[] {
  return [
    write("DELETE FROM tobj WHERE tid = ?", ttid),
    ...packs ? [write("DELETE FROM pack WHERE tid = ?", ttid)] : [],
    write("DELETE FROM ttrans WHERE ttid = ?", ttid),
  ];
}

function lockWrites(ttid: Tid, tid: Tid, approvePack: boolean): Write[] {
  const writes = [write("UPDATE ttrans SET tid = ? WHERE ttid = ?", tid, ttid)];
  if (approvePack) writes.push(write("UPDATE pack SET approved = 1 WHERE tid = ?", ttid));
  return writes;
}

function unlockMetadata(ttid: Tid, tid: Tid): Write[] {
  return [
    write(
      "REPLACE INTO trans SELECT `partition`, ?, packed, oids, user, description, ext, ttid " +
        "FROM ttrans WHERE ttid = ?",
      tid,
      ttid,
    ),
    write("DELETE FROM ttrans WHERE ttid = ?", ttid),
  ];
}

function unlockObjects(ttid: Tid, tid: Tid): Write[] {
  return [
    write(
      "REPLACE INTO obj SELECT `partition`, oid, ?, data_id, value_tid FROM tobj WHERE tid = ?",
      tid,
      ttid,
    ),
    write("DELETE FROM tobj WHERE tid = ?", ttid),
  ];
}

function* dataOf(objects: readonly StoredObject[]): Iterable<DataId> {
  for (const { dataId } of objects) if (dataId !== null) yield dataId;
}
