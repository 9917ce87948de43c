import { CellState, NodeState, NodeType } from "../../protocol/enums.ts";
import { nidOf, type NodeDescription } from "../../protocol/nodes.ts";
import type { Rows } from "../../neoctl/format.ts";

const seconds = (date: string) => Date.parse(`${date}Z`) / 1000;
const local = (port: number) => ({ host: "127.0.0.1", port });

/** A storage that was identified at 10:10:48. */
export function storage(number: number, state = NodeState.RUNNING): NodeDescription {
  return {
    type: NodeType.STORAGE,
    nid: number,
    address: local(19999 + number),
    state,
    idTimestamp: seconds("2026-11-22T10:10:48") + 0.675942,
  };
}

/** The nodes of a small cluster, in no order. */
export const NODES: readonly NodeDescription[] = [
  storage(1),
  {
    type: NodeType.MASTER,
    nid: nidOf(NodeType.MASTER, 2),
    address: local(10001),
    state: NodeState.DOWN,
    idTimestamp: seconds("2026-11-22T10:14:07") + 0.258132,
  },
  {
    type: NodeType.CLIENT,
    nid: nidOf(NodeType.CLIENT, 1),
    address: null,
    state: NodeState.RUNNING,
    idTimestamp: seconds("2026-11-22T10:11:23") + 0.999131,
  },
  { type: NodeType.STORAGE, nid: 2, address: null, state: NodeState.DOWN, idTimestamp: null },
  {
    type: NodeType.ADMIN,
    nid: nidOf(NodeType.ADMIN, 1),
    address: local(9999),
    state: NodeState.RUNNING,
    idTimestamp: seconds("2026-11-22T10:10:46") + 0.516371,
  },
  {
    type: NodeType.MASTER,
    nid: nidOf(NodeType.MASTER, 1),
    address: local(10000),
    state: NodeState.RUNNING,
    idTimestamp: null,
  },
];

const LETTERS = new Map([
  ["U", CellState.UP_TO_DATE],
  ["O", CellState.OUT_OF_DATE],
  ["F", CellState.FEEDING],
  ["C", CellState.CORRUPTED],
]);

/** A partition table drawn as a map: the lines of S1, S2… */
export function tableOf(...map: string[]): Rows {
  return Array.from(map[0] ?? "", (_, partition) =>
    map.flatMap((line, index) => {
      const state = LETTERS.get(line[partition] ?? "");
      return state === undefined ? [] : [{ nid: index + 1, state }];
    }));
}
