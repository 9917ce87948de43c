/**
 * Deletion of what is after a tid, on the whole node.
 *
 * @module
 */

import type { Config } from "./config.ts";
import type { Context } from "./context.ts";
import type { DataStore } from "./data.ts";
import { deleteObjectsAfter, deleteTransactionsAfter } from "./deletion.ts";
import type { PartitionTable } from "./partition_table.ts";
import { write } from "./sql.ts";

/** Records deleted by one commit. */
const SLICE = 1000;

/**
 * See `Database.truncate`. After a crash it is simply done again.
 *
 * Partitions without cell here are concerned as well: their data may not be deleted yet, or be kept,
 * when they are given back to this node.
 */
export async function truncate(
  context: Context,
  config: Config,
  table: PartitionTable,
  data: DataStore,
): Promise<void> {
  const tid = config.tid("truncate_tid");
  if (tid === null) return;
  // Cells may have been filled until a moment ago, which reads do not see by themselves.
  await context.queue.visible();
  for (let partition = 0; partition < table.partitions; partition++) {
    while (await deleteObjectsAfter(context, data, partition, tid, SLICE) === SLICE);
    while (await deleteTransactionsAfter(context, partition, tid, SLICE) === SLICE);
  }
  await context.queue.commit(
    write(
      "DELETE FROM pack WHERE tid > ? AND NOT EXISTS (SELECT 1 FROM ttrans WHERE ttrans.ttid = pack.tid)",
      tid,
    ),
    write("UPDATE pt SET tid = ? WHERE nid = ? AND tid > ?", tid, config.number("nid"), tid),
    config.set("truncate_tid", null),
  );
}
