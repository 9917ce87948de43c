/**
 * A stay with a primary master.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import { PartitionTable } from "../node/partition_table.ts";
import { NodeState } from "../protocol/enums.ts";
import type { NodeTable } from "../node/node_table.ts";
import { type Oid, partitionOf, type Tid } from "../protocol/ids.ts";
import type { Nid } from "../protocol/nodes.ts";
import { FinalTids } from "./final_tids.ts";
import { OidPool } from "./oids.ts";

/**
 * What is only valid from one identification to the primary master to the loss of that connection.
 * It keeps its last state afterwards, for those who still hold it.
 */
export class Session {
  readonly table: PartitionTable = new PartitionTable();
  readonly oids: OidPool;
  readonly finalTids: FinalTids;
  /** Whether invalidations count: those received earlier are covered by the last tid. */
  live = false;
  #open = true;
  #resolveOpened: (usable: boolean) => void = () => {};
  /** Whether the cluster can be used, once that is known. */
  readonly opened: Promise<boolean> = new Promise((resolve) => this.#resolveOpened = resolve);

  constructor(readonly connection: Connection, readonly nid: Nid, readonly nodes: NodeTable) {
    this.oids = new OidPool(connection);
    this.finalTids = new FinalTids(connection);
  }

  /** Whether it lasts. */
  get open(): boolean {
    return this.#open && this.connection.open;
  }

  /** The identification that storage nodes check. */
  get idTimestamp(): number | null {
    return this.nodes.get(this.nid)?.idTimestamp ?? null;
  }

  /** Everything that the master sends at the beginning was received. */
  start(): boolean {
    this.live = true;
    const usable = this.table.operational((nid) =>
      this.nodes.get(nid)?.state === NodeState.RUNNING
    );
    this.#resolveOpened(usable);
    return usable;
  }

  /** The connection is gone. */
  end(): void {
    this.#open = false;
    this.#resolveOpened(false);
  }

  partitionOf(id: Oid | Tid): number {
    return partitionOf(id, this.table.partitions);
  }
}
