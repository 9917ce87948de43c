/**
 * The node as the phases of its connections see it.
 *
 * @module
 */

import type { Environment } from "../network/environment.ts";
import type { KnownMasters } from "../node/known_masters.ts";
import type { NodeTable } from "../node/node_table.ts";
import type { PartitionTable } from "../node/partition_table.ts";
import type { ClusterState } from "../protocol/enums.ts";
import type { Nid, NodeDescription } from "../protocol/nodes.ts";
import type { Database } from "./database/database.ts";
import type { Operation } from "./operation.ts";
import type { Packs } from "./packs.ts";
import type { Repair } from "./repair.ts";
import type { Watch } from "./transactions.ts";

/** A node that has a database and, most of the time, a primary master. */
export interface Context {
  readonly env: Environment;
  readonly database: Database;
  readonly nodes: NodeTable;
  readonly table: PartitionTable;
  readonly packs: Packs;
  readonly repair: Repair;
  readonly masters: KnownMasters;
  /** Id given by the master. */
  readonly nid: Nid;
  /** `null` unless the node is operational. */
  readonly operation: Operation | null;
  /** The last state that the master announced. */
  clusterState: ClusterState | null;
  /** Notices the failure of something that nobody waits for. */
  readonly watch: Watch;

  /** Switches the master's connection to the operation phase. */
  startOperation(): void;
  /** Ends the operation and switches the master's connection back. */
  stopOperation(): void;
  /** The master says what became of this node. */
  told(self: NodeDescription): void;
  /** What the master says about nodes has changed: peers that wait for it can go on. */
  nodesChanged(): void;
}
