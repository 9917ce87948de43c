/**
 * Answers of an admin as text.
 *
 * @module
 */

import { CellState, NodeState, NodeType } from "../protocol/enums.ts";
import { formatTidDate, type Oid, type Tid } from "../protocol/ids.ts";
import type { AnswerArgsOf } from "../protocol/messages.ts";
import { formatAddress, type Nid, type NodeDescription, nodeName } from "../protocol/nodes.ts";

/** All the partitions, each with its cells. */
export type Rows = AnswerArgsOf<"AskPartitionList">["rows"];

/** A table of nodes, sorted by id; those without id come last, by address. */
export function formatNodes(nodes: readonly NodeDescription[]): string {
  if (nodes.length === 0) return "Empty list!";
  const lines = [...nodes].sort(compareNodes).map(({ type, address, nid, state, idTimestamp }) => [
    nodeName(nid),
    NodeType[type],
    address === null ? "" : formatAddress(address),
    NodeState[state],
    idTimestamp === null ? "None" : formatDate(idTimestamp),
  ]);
  const last = (lines[0]?.length ?? 0) - 1;
  const widths =
    lines[0]?.map((_, column) =>
      column === last ? 0 : Math.max(...lines.map((line) => line[column]?.length ?? 0))
    ) ?? [];
  return lines
    .map((line) => line.map((value, column) => value.padEnd(widths[column] ?? 0)).join(" | "))
    .join("\n");
}

/** By id; nodes without come last, by address. */
export function compareNodes(a: NodeDescription, b: NodeDescription): number {
  if (a.nid !== null && b.nid !== null) return a.nid - b.nid;
  if (a.nid !== null || b.nid !== null) return a.nid === null ? 1 : -1;
  const [x, y] = [a, b].map(({ address }) => address === null ? "" : formatAddress(address));
  return (x ?? "") < (y ?? "") ? -1 : 1;
}

/**
 * A moment in UTC, as `YYYY-MM-DD HH:MM:SS[.ffffff]`.
 *
 * @param time seconds since the Unix epoch.
 */
export function formatDate(time: number): string {
  // To the nearest: few microseconds are exact in a float, and truncating would change the others.
  const microseconds = Math.round(time * 1e6);
  const date = new Date(Math.floor(microseconds / 1e6) * 1000);
  if (Number.isNaN(date.getTime())) return String(time);
  const text = date.toISOString().slice(0, 19).replace("T", " ");
  const fraction = microseconds - Math.floor(microseconds / 1e6) * 1e6;
  return fraction === 0 ? text : `${text}.${String(fraction).padStart(6, "0")}`;
}

/** The first line of a partition table. */
export function formatTableHeader(ptid: number | null, replicas: number): string {
  return `# ptid: ${ptid ?? "None"}, replicas: ${replicas}`;
}

/**
 * A map of the partition table: a line for each storage, a column for each partition.
 *
 * @param nodes storages. Those that have a cell but are not in the list are shown in state `?`: table
 * and list are not asked at the same moment.
 * @param only shows only this storage.
 */
export function formatMap(
  rows: Rows,
  nodes: readonly NodeDescription[],
  only: Nid | null = null,
): string {
  const states = new Map(nodes.map(({ nid, state }) => [nid, state]));
  const lines = new Map<Nid, string[]>();
  const lineOf = (nid: Nid) => {
    const line = lines.get(nid) ?? new Array<string>(rows.length).fill(".");
    lines.set(nid, line);
    return line;
  };
  for (const [partition, row] of rows.entries()) {
    for (const { nid, state } of row) lineOf(nid)[partition] = CellState[state].slice(0, 1);
  }
  for (const { nid, state } of nodes) {
    if (nid !== null && state === NodeState.RUNNING) lineOf(nid);
  }
  const shown = [...lines.keys()]
    .filter((nid) => only === null || nid === only)
    .sort((a, b) => a - b);
  const last = shown.at(-1);
  if (last === undefined) return "";
  const width = nodeName(last).length;
  const ruler = rows.length > 10 ? [formatRuler(width + 4, rows.length)] : [];
  const map = shown.map((nid) => {
    const state = states.get(nid);
    const letter = state === undefined ? "?" : NodeState[state].slice(0, 1);
    return `${nodeName(nid).padEnd(width)} ${letter} ${lineOf(nid).join("")}`;
  });
  return [...ruler, ...map].join("\n");
}

/** Points at the partitions 10, 20… */
function formatRuler(margin: number, partitions: number): string {
  let ruler = " ".repeat(margin);
  for (let partition = 10; partition < partitions; partition += 10) {
    ruler += `${String(partition).padStart(9)}v`;
  }
  return ruler;
}

/**
 * A line for each partition.
 *
 * @param first number of the first row.
 * @param only shows only partitions that have a cell on this storage.
 */
export function formatRows(rows: Rows, first: number, only: Nid | null = null): string {
  return [...rows.entries()]
    .filter(([, row]) => only === null || row.some(({ nid }) => nid === only))
    .map(([index, row]) => {
      const cells = row.map(({ nid, state }) => ` ${nodeName(nid)} - ${CellState[state]} |`);
      return `${String(first + index).padStart(3, "0")} |${cells.join("")}`;
    })
    .join("\n");
}

/** An oid or a tid as a number. */
export function formatId(id: Oid | Tid): string {
  return `0x${id.toString(16)}`;
}

/** A tid as a number, with its date. */
export function formatTid(tid: Tid): string {
  return `${formatId(tid)} (${formatTidDate(tid)})`;
}

/** How a cluster and those it monitors are: a line for programs, then text. */
export function formatSummary(
  { warning, problem, summary }: AnswerArgsOf<"AskMonitorInformation">,
): string {
  const entries = Object.entries({ warning, problem })
    .filter(([, names]) => names.length > 0)
    .map(([severity, names]) => {
      return `"${severity}": [${names.map((name) => JSON.stringify(name)).join(", ")}]`;
    });
  return `# {${entries.join(", ")}}\n${summary}`;
}
