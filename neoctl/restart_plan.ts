/**
 * Restarting the nodes of a cluster one after the other without interrupting it: which one may be
 * next.
 *
 * @module
 */

import { isOperational } from "../node/cluster_health.ts";
import { CellState, ClusterState, isReadable, NodeState, NodeType } from "../protocol/enums.ts";
import { formatAddress, type Nid, type NodeDescription, nodeName } from "../protocol/nodes.ts";
import type { Rows } from "./format.ts";

/** A cluster as its admin sees it. */
export interface ClusterSituation {
  readonly state: ClusterState | null;
  readonly nodes: readonly NodeDescription[];
  readonly rows: Rows;
  /** The primary master. */
  readonly primary: Nid;
}

/** Which node may be restarted now, and why, or why not. */
export interface RestartAdvice {
  /** Whether to go on. Without a next node, all is done. */
  readonly go: boolean;
  readonly next: NodeDescription | null;
  readonly reasons: readonly string[];
  /** The nodes to restart after the next one, or all if there is none, in that order. */
  readonly left: readonly NodeDescription[];
}

/** How operators call a node. */
export function labelOf({ nid, address }: NodeDescription): string {
  const place = address === null ? "" : formatAddress(address);
  if (nid === null) return place;
  return place === "" ? nodeName(nid) : `${nodeName(nid)} (${place})`;
}

/** Whether a node is the one of this name or address. */
function isNamed({ nid, address }: NodeDescription, name: string): boolean {
  return name === (nid === null ? null : nodeName(nid)) ||
    name === (address === null ? null : formatAddress(address));
}

/**
 * Finds the node to restart next: a storage while any is left, then masters that are not the primary,
 * the primary, and admins. No storage is stopped that has the last readable cell of a partition, and
 * none while another one catches up; no primary unless another master can replace it, or none exists.
 *
 * @param done names or addresses of the nodes that were restarted already. They must be back.
 */
export function nextRestart(
  { state, nodes, rows, primary }: ClusterSituation,
  done: readonly string[],
): RestartAdvice {
  const isDone = (node: NodeDescription) => done.some((name) => isNamed(node, name));
  const running = (node: NodeDescription) => node.state === NodeState.RUNNING;
  const rank = (node: NodeDescription) =>
    node.type === NodeType.ADMIN
      ? 3
      : node.nid === primary
      ? 2
      : node.type === NodeType.MASTER
      ? 1
      : 0;
  const left = nodes
    .filter((node) => node.type !== NodeType.CLIENT && running(node) && !isDone(node))
    .sort((a, b) => rank(a) - rank(b) || Math.abs(a.nid ?? 0) - Math.abs(b.nid ?? 0));
  const wait = (reasons: readonly string[]) => ({ go: false, next: null, reasons, left });
  const go = (next: NodeDescription, reason: string) => ({
    go: true,
    next,
    reasons: [reason],
    left: left.filter((node) => node !== next),
  });

  const unsettled = obstacles({ state, nodes, rows, primary }, done);
  if (unsettled.length > 0) return wait(unsettled);
  const [first] = left;
  if (first === undefined) {
    return { go: true, next: null, reasons: ["all nodes have been restarted"], left };
  }
  if (first.type === NodeType.STORAGE) {
    const alone: string[] = [];
    for (const storage of left.filter(({ type }) => type === NodeType.STORAGE)) {
      const partitions = lastCopies(storage.nid, nodes, rows);
      if (partitions.length === 0) {
        return go(storage, "each of its partitions can be read on another storage that is running");
      }
      alone.push(
        `${labelOf(storage)} has the only copy that can be read of ${listPartitions(partitions)}`,
      );
    }
    return wait(alone);
  }
  if (first.type === NodeType.ADMIN) return go(first, "clients do not need it");
  if (first.nid !== primary) return go(first, "it is not the primary master");
  const others = nodes.filter(({ type, nid }) => type === NodeType.MASTER && nid !== primary);
  const spare = others.find(running);
  if (spare !== undefined) return go(first, `${labelOf(spare)} takes over as primary master`);
  if (others.length === 0) {
    return go(first, "it is the only master: clients wait until it is back");
  }
  return wait([`no other master is connected that could replace ${labelOf(first)}`]);
}

/** What forbids any restart. */
function obstacles(
  { state, nodes, rows }: ClusterSituation,
  done: readonly string[],
): string[] {
  if (!isOperational(state)) {
    return [`the cluster is ${state === null ? "in an unknown state" : ClusterState[state]}`];
  }
  const reasons = done.flatMap((name) => {
    const node = nodes.find((node) => isNamed(node, name));
    if (node === undefined) return [`${name} is not there`];
    return node.state === NodeState.RUNNING
      ? []
      : [`${labelOf(node)} is ${NodeState[node.state]}: it must be back first`];
  });
  for (const node of nodes) {
    if (node.type !== NodeType.STORAGE || node.state !== NodeState.RUNNING) continue;
    const late = partitionsWhere(
      rows,
      (row) => row.some(({ nid, state }) => nid === node.nid && state === CellState.OUT_OF_DATE),
    );
    if (late.length > 0) reasons.push(`${labelOf(node)} catches up with ${listPartitions(late)}`);
  }
  return reasons;
}

/** The partitions that can't be read while a storage is down. */
function lastCopies(
  storage: Nid | null,
  nodes: readonly NodeDescription[],
  rows: Rows,
): number[] {
  const others = new Set(
    nodes.filter(({ nid, state }) => nid !== storage && state === NodeState.RUNNING)
      .map(({ nid }) => nid),
  );
  return partitionsWhere(rows, (row) =>
    row.some(({ nid }) => nid === storage) &&
    !row.some(({ nid, state }) => isReadable(state) && others.has(nid)));
}

function partitionsWhere(rows: Rows, condition: (row: Rows[number]) => boolean): number[] {
  return [...rows.keys()].filter((partition) => condition(rows[partition] ?? []));
}

/** Names partitions, not too many of them. */
function listPartitions(partitions: readonly number[]): string {
  if (partitions.length === 1) return `partition ${partitions[0]}`;
  const more = partitions.length > 8 ? `… (${partitions.length} in all)` : "";
  return `partitions ${partitions.slice(0, 8).join(", ")}${more}`;
}
