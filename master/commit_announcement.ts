/**
 * Telling everybody that a transaction is committed.
 *
 * @module
 */

import type { Node, NodeTable } from "../node/node_table.ts";
import { encodeBody } from "../protocol/codec.ts";
import { NodeType } from "../protocol/enums.ts";
import type { Tid } from "../protocol/ids.ts";
import type { Extra } from "./extra.ts";
import type { Notifier } from "./notifications.ts";
import type { MasterPartitionTable } from "./partition_table.ts";
import type { Readiness } from "./readiness.ts";
import type { Transaction } from "./transaction.ts";

/** What an announcement depends on. */
export interface AnnouncementContext {
  readonly nodes: NodeTable;
  readonly notifier: Notifier;
  readonly readiness: Readiness;
  readonly table: MasterPartitionTable;
  readonly extraOf: (node: Node) => Extra;
}

/**
 * Announces a commit. Clients come first: from the unlock on, storages show what the transaction wrote,
 * and nobody may read what a client was not told about.
 */
export function announceCommit(
  context: AnnouncementContext,
  transaction: Transaction,
  tid: Tid,
): void {
  const { nodes, notifier, readiness, extraOf } = context;
  const { ttid, client, request, oids, modified: partitions } = transaction;
  const connections = (nids: Iterable<number>) =>
    [...nids].map((nid) => nodes.get(nid)?.connection ?? null);
  const clients = notifier.identified(NodeType.CLIENT);
  const backups = clients.filter((node) => extraOf(node).backup.length > 0);
  const invalidation = encodeBody("InvalidateObjects", { tid, oids });
  for (const node of clients) {
    if (node === client) request?.answer({ ttid, tid });
    else if (backups.includes(node)) {
      node.connection?.notify("InvalidatePartitions", { tid, partitions });
    } else node.connection?.notifyEncoded("InvalidateObjects", invalidation);
  }
  for (const connection of connections(transaction.involved)) {
    connection?.notify("NotifyUnlockInformation", { ttid });
  }
  if (transaction.packApproved) {
    const signed = { approved: [tid], rejected: [] };
    const packing = [...connections(readiness.nids()), ...backups.map((node) => node.connection)];
    for (const connection of packing) connection?.notify("NotifyPackSigned", signed);
  }
  for (const connection of connections(transaction.waitingStorages)) {
    connection?.notify("NotifyTransactionFinished", { ttid, tid });
  }
  forgetMoved(context, transaction);
  for (const waiting of transaction.finalTidRequests.values()) waiting.answer({ tid });
}

/**
 * Has storages drop what they have of a committed transaction, if their cells were taken away or not
 * expected to have it, because the partition table changed since it was begun.
 */
function forgetMoved(
  { nodes, readiness, table }: AnnouncementContext,
  { ttid, ptid, involved, waitingStorages }: Transaction,
): void {
  if (table.ptid === ptid) return;
  for (const nid of readiness.started()) {
    if (involved.has(nid) || waitingStorages.has(nid)) continue;
    nodes.get(nid)?.connection?.notify("AbortTransaction", { ttid, nids: [] });
  }
}
