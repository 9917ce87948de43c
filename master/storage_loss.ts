/**
 * What the loss of a storage changes for everybody, past recovery.
 *
 * @module
 */

import type { Node } from "../node/node_table.ts";
import { NodeState } from "../protocol/enums.ts";
import type { Cluster } from "./cluster.ts";

/**
 * Announces that a storage is lost, and then the table without its cells.
 *
 * @returns whether operation may go on.
 */
export function announceLoss(cluster: Cluster, storage: Node): boolean {
  const { env, nodes, notifier, promotions, running, table, truncateTid } = cluster;
  const { nid, state } = storage;
  // Announced already if an operator stopped it.
  if (nid !== null && (state === NodeState.RUNNING || state === NodeState.PENDING)) {
    const forgotten = state === NodeState.PENDING && !table.hasMember(nid);
    storage.state = forgotten ? NodeState.UNKNOWN : NodeState.DOWN;
    const announcement = notifier.announcement(storage);
    if (forgotten) nodes.remove(storage);
    notifier.announce([announcement]);
    if (truncateTid !== null) return false;
    if (promotions.mayDecide(nid)) {
      env.log.warning(
        `${storage} may not know that others have all of its data now: waiting for it`,
      );
      return false;
    }
    promotions.storageLost(nid);
    notifier.changeTable(table.outdate(running, nid));
  }
  return table.operational(running);
}
