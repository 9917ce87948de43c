/**
 * Table `pack`: the pack orders. A row lives with the metadata of the transaction that carries it.
 *
 * @module
 */

import type { Tid } from "../../protocol/ids.ts";
import { clampBound, type Context, isStorable } from "./context.ts";
import type { PackOrder } from "./database.ts";
import { unpackOids } from "./packed_oids.ts";
import type { PartitionTable } from "./partition_table.ts";
import { asBytes, asNumber, asTid, nullable, type Row, type Write, write } from "./sql.ts";

/** See `Database.packOrders`. Orders of unfinished transactions do not exist yet. */
export async function packOrders(
  context: Context,
  table: PartitionTable,
  minId: Tid,
): Promise<PackOrder[]> {
  await context.queue.visible();
  const rows = await context.read(
    "SELECT tid, approved, partial, oids, pack_tid FROM pack WHERE tid >= ? " +
      "AND NOT EXISTS (SELECT 1 FROM ttrans WHERE ttrans.ttid = pack.tid) ORDER BY tid",
    clampBound(minId),
  );
  return rows.map(toPackOrder).filter(({ id }) => table.isReadable(table.partitionOf(id)));
}

/** See `CellContents.packOrders`. */
export async function packOrdersOf(
  context: Context,
  table: PartitionTable,
  partition: number,
  min: Tid,
  max: Tid,
): Promise<Map<Tid, PackOrder>> {
  if (!isStorable(min)) return new Map();
  await context.committedVisible();
  const rows = await context.read(
    "SELECT tid, approved, partial, oids, pack_tid FROM pack WHERE tid >= ? AND tid <= ? " +
      "AND tid % ? = ? AND NOT EXISTS (SELECT 1 FROM ttrans WHERE ttrans.ttid = pack.tid)",
    min,
    clampBound(max),
    table.partitions,
    partition,
  );
  return new Map(rows.map(toPackOrder).map((order) => [order.id, order]));
}

function toPackOrder([tid, approved, partial, oids, packTid]: Row): PackOrder {
  return {
    id: asTid(tid),
    approved: nullable(approved, (value) => asNumber(value) !== 0),
    partial: asNumber(partial) !== 0,
    oids: nullable(oids, (value) => unpackOids(asBytes(value))),
    packTid: asTid(packTid),
  };
}

/** See `Database.signPackOrders`. */
export async function signPackOrders(
  context: Context,
  approved: readonly Tid[],
  rejected: readonly Tid[],
): Promise<void> {
  const rows = [
    ...approved.map((id) => [1, id]),
    ...rejected.map((id) => [0, id]),
  ];
  if (rows.length === 0) return;
  await context.queue.commit({ sql: "UPDATE pack SET approved = ? WHERE tid = ?", rows });
}

/** Deletes orders whose transaction does not exist, which old implementations left. */
export function dropLostPackOrders(table: PartitionTable): Write[] {
  if (table.partitions === 0) return [];
  return [write(
    "DELETE FROM pack WHERE NOT EXISTS (SELECT 1 FROM ttrans WHERE ttrans.ttid = pack.tid) " +
      "AND NOT EXISTS (SELECT 1 FROM trans WHERE trans.`partition` = pack.tid % ? " +
      "AND trans.tid = pack.tid)",
    table.partitions,
  )];
}
