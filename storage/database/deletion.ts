/**
 * Deletion of what a cell has after a tid, in slices.
 *
 * @module
 */

import type { Context } from "./context.ts";
import type { DataStore } from "./data.ts";
import { asBigInt, asOid, asTid, nullable, write } from "./sql.ts";

/** Before all tids. */
export const EVERYTHING = -1n;

/** Executes what queues writes, now or when there is time; it may decide not to. */
export type Execute = (work: () => void) => Promise<unknown> | void;

/**
 * Deletes the first records of a partition after a tid.
 *
 * @returns their number, less than `limit` if no more remains.
 */
export async function deleteObjectsAfter(
  context: Context,
  data: DataStore,
  partition: number,
  tid: bigint,
  limit: number,
  execute: Execute = (work) => work(),
): Promise<number> {
  await context.committedVisible();
  const rows = await context.read(
    `SELECT tid, oid, data_id FROM obj ${context.engine.dialect.byTid} ` +
      "WHERE `partition` = ? AND tid > ? ORDER BY tid, oid LIMIT ?",
    partition,
    tid,
    limit,
  );
  const last = rows.at(-1);
  if (last === undefined) return 0;
  const [lastTid, lastOid] = [asTid(last[0]), asOid(last[1])];
  const ids = rows.map((row) => nullable(row[2], asBigInt)).filter((id) => id !== null);
  await execute(() =>
    context.unlocked.addAll(context.queue.write(
      write(
        "DELETE FROM obj WHERE `partition` = ? AND tid > ? AND tid < ?",
        partition,
        tid,
        lastTid,
      ),
      // `+oid` keeps SQLite from using the index by oid.
      write(
        "DELETE FROM obj WHERE `partition` = ? AND tid = ? AND +oid <= ?",
        partition,
        lastTid,
        lastOid,
      ),
      ...data.prune(ids),
    ))
  );
  return rows.length;
}

/** Deletes the metadata of the first transactions of a partition after a tid; see above. */
export async function deleteTransactionsAfter(
  context: Context,
  partition: number,
  tid: bigint,
  limit: number,
  execute: Execute = (work) => work(),
): Promise<number> {
  await context.committedVisible();
  const rows = await context.read(
    "SELECT tid FROM trans WHERE `partition` = ? AND tid > ? ORDER BY tid LIMIT ?",
    partition,
    tid,
    limit,
  );
  const last = rows.at(-1);
  if (last === undefined) return 0;
  const lastTid = asTid(last[0]);
  await execute(() =>
    context.unlocked.addAll(context.queue.write(write(
      "DELETE FROM trans WHERE `partition` = ? AND tid > ? AND tid <= ?",
      partition,
      tid,
      lastTid,
    )))
  );
  return rows.length;
}

/** Deletes the pack orders of committed transactions of a partition after a tid. */
export function deletePacksAfter(
  { queue, unlocked }: Context,
  partitions: number,
  partition: number,
  tid: bigint,
): void {
  unlocked.addAll(queue.write(write(
    "DELETE FROM pack WHERE tid > ? AND tid % ? = ? " +
      "AND NOT EXISTS (SELECT 1 FROM ttrans WHERE ttrans.ttid = pack.tid)",
    tid,
    partitions,
    partition,
  )));
}
