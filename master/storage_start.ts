/**
 * Letting storages operate.
 *
 * @module
 */

import type { Node } from "../node/node_table.ts";
import { NodeState } from "../protocol/enums.ts";
import type { Cluster } from "./cluster.ts";

/** Tells a storage to operate, unless it has to wait until it is added. */
export function startStorage({ readiness }: Cluster, storage: Node): void {
  if (storage.state !== NodeState.RUNNING || storage.nid === null) return;
  storage.connection?.notify("StartOperation", { backup: false });
  readiness.start(storage.nid);
}
