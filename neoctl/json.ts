/**
 * Answers of an admin for programs: values of JSON.
 *
 * @module
 */

import { CellState, NodeState, NodeType } from "../protocol/enums.ts";
import { formatTidDate, hexId, type Oid, type Tid } from "../protocol/ids.ts";
import { formatAddress, type NodeDescription, nodeName } from "../protocol/nodes.ts";
import { compareNodes, formatDate, type Rows } from "./format.ts";

/** What JSON can tell. */
export type Json = null | boolean | number | string | readonly Json[] | {
  readonly [key: string]: Json;
};

/** Nodes, in the order of their ids. */
export function jsonOfNodes(nodes: readonly NodeDescription[]): Json {
  return [...nodes].sort(compareNodes).map(({ type, address, nid, state, idTimestamp }) => ({
    name: nid === null ? null : nodeName(nid),
    type: NodeType[type],
    address: address === null ? null : formatAddress(address),
    state: NodeState[state],
    identified: idTimestamp === null ? null : formatDate(idTimestamp),
  }));
}

/** Partitions: for each one, the states of its cells by node. */
export function jsonOfRows(rows: Rows): Json {
  return rows.map((row) =>
    Object.fromEntries(row.map(({ nid, state }) => [nodeName(nid), CellState[state]]))
  );
}

/** An oid or a tid, in 16 hexadecimal digits. */
export function jsonOfId(id: Oid | Tid | null): Json {
  return id === null ? null : hexId(id);
}

/** When a transaction was. */
export function jsonOfDate(tid: Tid | null): Json {
  return tid === null ? null : formatTidDate(tid);
}
