/**
 * Partition tables as text.
 *
 * @module
 */

import type { Cell, CellChange } from "../../node/partition_table.ts";
import { CellState } from "../../protocol/enums.ts";
import { nodeName } from "../../protocol/nodes.ts";

const STATES: Record<string, CellState> = {
  U: CellState.UP_TO_DATE,
  O: CellState.OUT_OF_DATE,
  F: CellState.FEEDING,
  C: CellState.CORRUPTED,
  D: CellState.DISCARDED,
};
const letterOf = (state: CellState) => "OUFCD".charAt(state);

/** Rows written as `UU|.U`: a column for each of S1, S2… */
export function rowsOf(text: string): Cell[][] {
  return text.split("|").map((row) =>
    [...row].flatMap((letter, index) => {
      const state = STATES[letter];
      return state === undefined ? [] : [{ nid: index + 1, state }];
    })
  );
}

/** The inverse of {@linkcode rowsOf}. */
export function textOf(rows: readonly (readonly Cell[])[], columns?: number): string {
  const width = columns ?? Math.max(0, ...rows.flatMap((row) => row.map(({ nid }) => nid)));
  return rows.map((row) =>
    Array.from({ length: width }, (_, index) => {
      const cell = row.find(({ nid }) => nid === index + 1);
      return cell === undefined ? "." : letterOf(cell.state);
    }).join("")
  ).join("|");
}

/** Changes as `0:S1→O 1:S2→D`. */
export function changesText(changes: readonly CellChange[]): string {
  return changes.map(({ partition, nid, state }) =>
    `${partition}:${nodeName(nid)}→${letterOf(state)}`
  ).join(" ");
}
