/**
 * What a node tells of its state to those who watch over it. It is read when somebody asks.
 *
 * @module
 */

import { Histogram } from "../network/counters.ts";
import type { ClusterState } from "../protocol/enums.ts";
import type { NodeTable } from "./node_table.ts";
import type { PartitionTable } from "./partition_table.ts";

/** What the node knows of its cluster. */
export interface ClusterMeasures {
  readonly state: ClusterState | null;
  readonly nodes: NodeTable;
  readonly table: PartitionTable;
}

/** The state of a node. */
export interface NodeMeasures {
  /** Whether it does what it is for: drives commits, serves data, answers operators. */
  readonly serving: boolean;
  /** `null` as long as no primary master is known. */
  readonly cluster: ClusterMeasures | null;
  readonly values: Readonly<Partial<Record<MeasuredValue, number>>>;
}

/** Numbers that only some types of nodes have. */
export type MeasuredValue =
  /** Transactions that have begun and are not finished. */
  | "transactions"
  /** Requests that wait for locks, for commits or for room. */
  | "waitingRequests"
  /** Bytes that wait to be written to the database. */
  | "databaseQueue"
  /** Objects locked by transactions. */
  | "lockedObjects"
  /** Stores refused because of a conflict, since operation began. */
  | "conflicts";

/** What a database counts. */
export class DatabaseCounters {
  readonly commits: Histogram = new Histogram();
  writes = 0;

  /** To be called after each commit. */
  readonly onCommit = (seconds: number, writes: number, durable: boolean): void => {
    this.writes += writes;
    if (durable) this.commits.add(seconds);
  };
}
