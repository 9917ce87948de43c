/**
 * Which storages take part in the commit of a transaction.
 *
 * @module
 */

import type { NodeTable } from "../node/node_table.ts";
import { isReadable } from "../protocol/enums.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { MasterPartitionTable } from "./partition_table.ts";
import type { Readiness } from "./readiness.ts";
import type { Transaction } from "./transaction.ts";

/** What the choice depends on. */
export interface InvolvementContext {
  readonly nodes: NodeTable;
  readonly table: MasterPartitionTable;
  readonly readiness: Readiness;
  readonly running: (nid: Nid) => boolean;
}

/**
 * The storages that have a whole transaction: those with a cell of a partition that it touches, as far
 * as its client was to write to that cell. Neither is expected to from storages that started since the
 * transaction was begun, nor in cells that were assigned since: these replicate it afterwards.
 *
 * @throws {Error} if it would be missing somewhere it can be read: nothing may be committed then.
 */
export function involvedStorages(
  { nodes, readiness, running, table }: InvolvementContext,
  { counter, ptid }: Transaction,
  touched: ReadonlySet<number>,
): Set<Nid> {
  const involved = new Set<Nid>();
  for (const partition of touched) {
    for (const { nid, state } of table.cells(partition)) {
      const readable = isReadable(state);
      if (!readable && table.assignedSince(partition, nid) > ptid) continue;
      if (readiness.isReady(nid, counter) && nodes.get(nid)?.connection) involved.add(nid);
      else if (readable && running(nid)) {
        throw new Error(`readable cell ${partition} of ${nid} would miss a transaction`);
      }
    }
  }
  if (involved.size === 0) throw new Error("no storage to commit to");
  return involved;
}
