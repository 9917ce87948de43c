/**
 * How well a cluster is, in a line of text and a severity.
 *
 * @module
 */

import type { NodeTable } from "./node_table.ts";
import type { PartitionTable } from "./partition_table.ts";
import { CellState, ClusterState, NodeState } from "../protocol/enums.ts";
import { formatTidDate, hexId, type Tid } from "../protocol/ids.ts";
import type { Nid } from "../protocol/nodes.ts";

/** How much an operator should worry. */
export enum Severity {
  OK = 0,
  WARNING = 1,
  PROBLEM = 2,
}

/** What the health of a cluster is judged by. */
export interface ClusterHealth {
  readonly state: ClusterState | null;
  /** Number of cells in each state. */
  readonly cells: ReadonlyMap<CellState, number>;
  /** Number of cells to add until each partition has as many copies as wanted. */
  readonly missing: number;
  /** Number of storages that have cells and are down. */
  readonly down: number;
  /** Number of storages that have cells and wait for the cluster to start. */
  readonly pending: number;
}

/** Whether clients can read from a cluster in that state. */
export function isOperational(state: ClusterState | null): boolean {
  return state === ClusterState.RUNNING || state === ClusterState.BACKINGUP;
}

/** Examines a cluster. */
export function examine(
  state: ClusterState | null,
  nodes: NodeTable,
  table: PartitionTable,
): ClusterHealth {
  const cells = new Map<CellState, number>();
  const storages = new Set<Nid>();
  let missing = 0;
  for (const row of table.rows) {
    let copies = 0;
    for (const { nid, state } of row) {
      storages.add(nid);
      cells.set(state, (cells.get(state) ?? 0) + 1);
      // A feeding cell goes away as soon as its replacement is ready.
      if (state !== CellState.FEEDING) copies++;
    }
    if (table.ptid !== null) missing += Math.max(0, table.replicas + 1 - copies);
  }
  let down = 0;
  let pending = 0;
  for (const nid of storages) {
    const storage = nodes.get(nid)?.state;
    if (storage === NodeState.PENDING) pending++;
    else if (storage !== NodeState.RUNNING) down++;
  }
  return { state, cells, missing, down, pending };
}

/** Judges the health of a cluster. */
export function severityOf({ state, cells, missing, down }: ClusterHealth): Severity {
  if (down > 0 || !isOperational(state)) return Severity.PROBLEM;
  const degraded = [...cells.keys()].some((cell) => cell !== CellState.UP_TO_DATE);
  return degraded || missing > 0 ? Severity.WARNING : Severity.OK;
}

/**
 * Describes the health of a cluster:
 * `STATE[; CELLSTATE=count, …][; MISSING=n][; DOWN=n][; PENDING=n][; ltid=… (date)]`.
 *
 * @param lastTid the last transaction, or that of the backup for a backup cluster. Only shown when the
 * cluster is operational, as it may not be the last one otherwise.
 */
export function summarize(health: ClusterHealth, lastTid: Tid | null): string {
  const { state, cells, missing, down, pending } = health;
  const parts = [state === null ? "None" : ClusterState[state]];
  if (cells.size > 0) {
    const counts = [...cells].sort(([a], [b]) => a - b);
    parts.push(counts.map(([cell, count]) => `${CellState[cell]}=${count}`).join(", "));
  }
  if (missing > 0) parts.push(`MISSING=${missing}`);
  if (down > 0) parts.push(`DOWN=${down}`);
  if (pending > 0) parts.push(`PENDING=${pending}`);
  if (lastTid !== null && isOperational(state)) {
    parts.push(`ltid=${hexId(lastTid)} (${formatTidDate(lastTid)})`);
  }
  return parts.join("; ");
}
