/**
 * What a cluster needs of its operators, in words.
 *
 * @module
 */

import { CellState, ClusterState, NodeState, NodeType } from "../protocol/enums.ts";
import { nodeName } from "../protocol/nodes.ts";
import { examine } from "./cluster_health.ts";
import type { ClusterMeasures } from "./measures.ts";

/** What is to be done or to be waited for, nothing if all is well. */
export function clusterAdvice({ state, nodes, table }: ClusterMeasures): string[] {
  const { cells, missing } = examine(state, nodes, table);
  const storages = [...nodes.list(NodeType.STORAGE)];
  const named = (wanted: NodeState, member: boolean) =>
    storages
      .filter(({ nid, state }) => state === wanted && nid !== null && table.hasNode(nid) === member)
      .map(({ nid }) => nodeName(nid))
      .join(", ");
  const advice = [];
  const down = named(NodeState.DOWN, true);
  if (state === ClusterState.RECOVERING) {
    advice.push(
      table.ptid === null
        ? "no storage with data has come: start the storages; only if the cluster is new, run " +
          "'neoctl start' when all are there"
        : `the cluster waits for storages${down === "" ? "" : ` ${down}`}: start them, ` +
          "or run 'neoctl start' if they are lost and each partition has another copy",
    );
  } else if (down !== "") advice.push(`storages are down: start ${down}, or replace them`);
  const added = named(NodeState.PENDING, false);
  if (added !== "" && state === ClusterState.RUNNING) {
    advice.push(`new storages are not used: run 'neoctl add ${added.replaceAll(", ", " ")}'`);
  }
  const count = (cell: CellState) => cells.get(cell) ?? 0;
  if (count(CellState.CORRUPTED) > 0) {
    advice.push(
      `${count(CellState.CORRUPTED)} cells differ from their copies: see 'neoctl print pt'`,
    );
  }
  if (count(CellState.OUT_OF_DATE) > 0) {
    advice.push(
      `${count(CellState.OUT_OF_DATE)} cells are out of date: wait for their replication`,
    );
  }
  if (missing > 0) {
    advice.push(`${missing} copies are missing: add storages if needed, then run 'neoctl tweak'`);
  }
  return advice;
}
