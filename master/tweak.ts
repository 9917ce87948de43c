/**
 * Reassigning partitions to storage nodes: loads become even and copies as many as wanted, whereas as
 * little as possible moves and nothing stops being readable.
 *
 * @module
 */

import type { Cell, CellChange } from "../node/partition_table.ts";
import { CellState, isReadable } from "../protocol/enums.ts";
import type { Nid } from "../protocol/nodes.ts";
import {
  assign,
  type Assignment,
  type Choice,
  compareLists,
  idealChoices,
  type PlacementConstraint,
  type Turn,
} from "./distribution.ts";
import { type DevicePath, TopologyConstraint } from "./topology.ts";

/** A storage node to which cells may be given. */
export interface Member {
  readonly nid: Nid;
  readonly path: DevicePath;
}

/** What a tweak does. */
export interface Tweak {
  readonly changes: readonly CellChange[];
  /** Whether copies are kept apart as far as the places of nodes are known. */
  readonly resilient: boolean;
}

/** The cells of one node before the tweak. */
class Holding {
  /** Partitions with a cell that is not about to go away. */
  readonly kept: readonly number[];
  readonly #readable: readonly number[];
  readonly #others: readonly number[];

  constructor(readonly nid: Nid, readonly cells: ReadonlyMap<number, CellState>) {
    const those = (wanted: (state: CellState) => boolean) =>
      [...cells].filter(([, state]) => wanted(state)).map(([partition]) => partition);
    this.kept = those((state) => state !== CellState.FEEDING);
    this.#readable = those(isReadable);
    this.#others = those((state) => !isReadable(state));
  }

  /** How much is lost if the node gets this list: readable cells weigh more. */
  cost({ includes }: Choice): Cost {
    const lost = (partition: number) => includes[partition] === 0;
    return [this.#readable.filter(lost).length, this.#others.filter(lost).length];
  }

  /** Whether the node keeps all its cells if it gets this list. */
  fits({ includes }: Choice): boolean {
    return this.kept.every((partition) => includes[partition] === 1);
  }
}

/** Readable cells that are thrown away, then others. */
type Cost = readonly [number, number];
const NOTHING: Cost = [0, 0];

function compareCosts([a, b]: Cost, [c, d]: Cost): number {
  return a - c || b - d;
}

/**
 * The changes that spread the partitions evenly over some nodes, in a number of copies. Cells of other
 * nodes are left alone, and do not count as copies.
 *
 * @param replicas wanted copies besides the first.
 * @param created state of the new cells.
 * @throws {RangeError} if there is no node.
 */
export function tweak(
  rows: readonly (readonly Cell[])[],
  replicas: number,
  members: readonly Member[],
  created: CellState = CellState.OUT_OF_DATE,
): Tweak {
  if (members.length === 0) throw new RangeError("Can't remove all nodes.");
  const nodes = members.toSorted((a, b) => a.nid - b.nid);
  const copies = Math.min(replicas + 1, nodes.length);
  const holdings = holdingsOf(rows, nodes);
  const choices = idealChoices(rows.length, copies, nodes.length);
  const topology = copies === 1
    ? null
    : TopologyConstraint.of(nodes.map(({ path }) => path), rows.length, copies);
  const resilient = topology === null ? null : distribute(choices, holdings, topology);
  const assignments = resilient ?? distribute(choices, holdings, null);
  if (assignments === null) throw new Error("without constraint, any node can get any list");
  return {
    changes: changesFor(assignments, holdings, rows.length, copies, created),
    resilient: resilient !== null || copies === 1,
  };
}

function holdingsOf(rows: readonly (readonly Cell[])[], nodes: readonly Member[]): Holding[] {
  const cells = new Map(nodes.map(({ nid }) => [nid, new Map<number, CellState>()]));
  for (const [partition, row] of rows.entries()) {
    for (const { nid, state } of row) cells.get(nid)?.set(partition, state);
  }
  return [...cells].map(([nid, states]) => new Holding(nid, states));
}

/** Decides which node gets which list; `null` if the constraint does not allow any way found. */
function distribute(
  choices: readonly Choice[],
  holdings: readonly Holding[],
  constraint: PlacementConstraint | null,
): Assignment[] | null {
  for (const strategy of [unchanged, onlyAdding, cheapest]) {
    const turns = strategy(choices, holdings);
    const assignments = turns === null ? null : assign(choices, turns, constraint);
    if (assignments !== null) return assignments;
  }
  return null;
}

/**
 * Every node has one of the ideal lists already. It would also be found by the next strategy, which
 * may have to search for that.
 */
function unchanged(choices: readonly Choice[], holdings: readonly Holding[]): Turn[] | null {
  const turns = holdings.map(({ kept }, node) => ({
    node,
    candidates: [choices.findIndex(({ partitions }) => compareLists(partitions, kept) === 0)],
  }));
  return turns.every(({ candidates: [index = -1] }) => index >= 0) ? turns : null;
}

/** Every node keeps all that it has: nothing is replicated that needs not be. */
function onlyAdding(choices: readonly Choice[], holdings: readonly Holding[]): Turn[] | null {
  const turns: Turn[] = [];
  for (const [node, holding] of holdings.entries()) {
    const candidates = [...choices.entries()]
      .filter(([, choice]) => holding.fits(choice)).map(([index]) => index);
    if (candidates.length === 0) return null;
    turns.push({ node, candidates });
  }
  return turns;
}

/** Every node prefers what costs least, and those for which a bad choice costs most choose first. */
function cheapest(choices: readonly Choice[], holdings: readonly Holding[]): Turn[] {
  const wishes = holdings.map((holding, node) => {
    const costs = choices.map((choice, index) => ({ index, cost: holding.cost(choice) }));
    costs.sort((a, b) => compareCosts(a.cost, b.cost) || a.index - b.index);
    const [least, most] = [costs.at(0)?.cost ?? NOTHING, costs.at(-1)?.cost ?? NOTHING];
    const stake: Cost = [least[0] - most[0], least[1] - most[1]];
    return { turn: { node, candidates: costs.map(({ index }) => index) }, stake };
  });
  return wishes.sort((a, b) => compareCosts(a.stake, b.stake) || a.turn.node - b.turn.node)
    .map(({ turn }) => turn);
}

/** The changes that lead to an assignment, without losing copies that are not replaced yet. */
function changesFor(
  assignments: readonly Assignment[],
  holdings: readonly Holding[],
  partitions: number,
  copies: number,
  created: CellState,
): CellChange[] {
  const changes: CellChange[] = [];
  /** Copies of each partition that can't be read yet. */
  const missing = new Array<number>(partitions).fill(copies);
  const leaving: { readonly nid: Nid; readonly state: CellState }[][] = Array.from(
    { length: partitions },
    () => [],
  );
  for (const { node, partitions: list } of assignments) {
    const holding = holdings[node];
    if (holding === undefined) throw new RangeError(`no node ${node}`);
    const { nid, cells } = holding;
    for (const partition of list) {
      const before = cells.get(partition);
      if (before !== undefined && isReadable(before)) {
        missing[partition] = (missing[partition] ?? 0) - 1;
      }
      const after = keptState(before, created);
      if (after !== before) changes.push({ partition, nid, state: after });
    }
    const assigned = new Set(list);
    for (const [partition, state] of cells) {
      if (!assigned.has(partition)) leaving[partition]?.push({ nid, state });
    }
  }
  for (const [partition, cells] of leaving.entries()) {
    for (const { nid, state } of cells) {
      const left = missing[partition] ?? 0;
      const feeds = left > 0 && isReadable(state);
      if (feeds) missing[partition] = left - 1;
      const after = feeds ? CellState.FEEDING : CellState.DISCARDED;
      if (after !== state) changes.push({ partition, nid, state: after });
    }
  }
  return changes;
}

/** The state of a cell that a node is to have. One that was found corrupted is replicated again. */
function keptState(before: CellState | undefined, created: CellState): CellState {
  switch (before) {
    case undefined:
      return created;
    case CellState.FEEDING:
      return CellState.UP_TO_DATE;
    case CellState.CORRUPTED:
      return CellState.OUT_OF_DATE;
    default:
      return before;
  }
}
