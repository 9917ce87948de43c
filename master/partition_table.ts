/**
 * The partition table as its owner changes it.
 *
 * The methods that compute changes return them without applying them: the caller announces them as
 * the next version of the table, see `Notifier.changeTable`.
 *
 * @module
 */

import { type Cell, type CellChange, PartitionTable } from "../node/partition_table.ts";
import { CellState, isReadable } from "../protocol/enums.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";
import { type Member, type Tweak, tweak } from "./tweak.ts";

/** The version of a table that is created. */
export const FIRST_VERSION = 1;

/** The partition table of the primary master. */
export class MasterPartitionTable extends PartitionTable {
  /** Nodes that take part, with cells or ready to receive some. */
  readonly #members = new Set<Nid>();
  /** Cells being replicated since their node asked for the unfinished transactions. */
  readonly #replicating = new Map<Nid, Set<number>>();

  /** The version that assigned a cell that could not be written before; none for older cells. */
  readonly #assigned = new Map<Nid, Map<number, number>>();

  /** The ids of all nodes that take part, be it without cell. */
  get members(): ReadonlySet<Nid> {
    return this.#members;
  }

  /** Whether a node takes part, be it without cell. */
  hasMember(nid: Nid): boolean {
    return this.#members.has(nid);
  }

  /** The ids of all nodes that have a cell. */
  nodes(): Set<Nid> {
    return new Set(this.rows.flatMap((row) => row.map(({ nid }) => nid)));
  }

  /** The ids of all nodes that have a cell that may be read. */
  readableNodes(): Set<Nid> {
    const nids = new Set<Nid>();
    for (const row of this.rows) {
      for (const { nid, state } of row) if (isReadable(state)) nids.add(nid);
    }
    return nids;
  }

  /** Starts over without any table, but with the number of partitions and replicas of a new one. */
  reset(partitions: number, replicas: number): void {
    this.load({ ptid: null, replicas, rows: Array.from({ length: partitions }, () => []) });
  }

  override load(table: ArgsOf<"SendPartitionTable">): void {
    super.load(table);
    this.#replicating.clear();
    this.#assigned.clear();
    this.#members.clear();
    for (const nid of this.nodes()) this.#members.add(nid);
  }

  /**
   * Creates the first version: the partitions are dealt evenly to the given nodes, keeping copies
   * apart as far as known. Nodes for which there is no partition are members all the same.
   *
   * @returns whether what is known of the places of nodes was used.
   * @throws {RangeError} if there is no node.
   */
  create(partitions: number, replicas: number, members: readonly Member[]): boolean {
    const rows: Cell[][] = Array.from({ length: partitions }, () => []);
    const { changes, resilient } = tweak(rows, replicas, members, CellState.UP_TO_DATE);
    for (const { partition, nid, state } of changes) rows[partition]?.push({ nid, state });
    this.load({ ptid: FIRST_VERSION, replicas, rows });
    for (const { nid } of members) this.#members.add(nid);
    return resilient;
  }

  /**
   * The changes that spread the partitions evenly over some nodes. Cells of other nodes are left
   * alone, and do not count as copies.
   *
   * @throws {RangeError} if there is no node.
   */
  tweak(members: readonly Member[]): Tweak {
    return tweak(this.rows, this.replicas, members);
  }

  /** Lets nodes take part, without any cell; returns those that did not. */
  addMembers(nids: Iterable<Nid>): Nid[] {
    const added = [...nids].filter((nid) => !this.#members.has(nid));
    for (const nid of added) this.#members.add(nid);
    return added;
  }

  /** Forgets nodes that have no cell any more. */
  removeMembers(nids: Iterable<Nid>): void {
    for (const nid of nids) {
      if (this.hasNode(nid)) throw new Error(`node ${nid} still has cells`);
      this.#members.delete(nid);
    }
  }

  /**
   * The changes that remove all cells of some nodes.
   *
   * @returns a partition whose only readable copies would be lost, if there is one.
   */
  dropNodes(nids: ReadonlySet<Nid>): CellChange[] | { readonly partition: number } {
    const changes: CellChange[] = [];
    for (const [partition, row] of this.rows.entries()) {
      const dropped = row.filter(({ nid }) => nids.has(nid));
      if (dropped.length === 0) continue;
      for (const { nid } of dropped) changes.push({ partition, nid, state: CellState.DISCARDED });
      const remaining = row.filter(({ nid }) => !nids.has(nid));
      const feeding = remaining.findLast(({ state }) => state === CellState.FEEDING);
      if (feeding !== undefined) {
        changes.push({ partition, nid: feeding.nid, state: CellState.UP_TO_DATE });
      } else if (
        dropped.some(({ state }) => isReadable(state)) &&
        !remaining.some(({ state }) => state === CellState.UP_TO_DATE)
      ) return { partition };
    }
    return changes;
  }

  /**
   * The changes due to nodes that do not run: their readable cells miss what is committed from now
   * on. Where no other copy can be read, `lost`, the last node that went away, keeps its cell: it
   * has everything, and it alone lets the cluster start again.
   */
  outdate(running: (nid: Nid) => boolean, lost: Nid | null = null): CellChange[] {
    const changes: CellChange[] = [];
    for (const [partition, row] of this.rows.entries()) {
      const readable = row.filter(({ state }) => isReadable(state));
      const away = readable.filter(({ nid }) => !running(nid));
      const served = away.length < readable.length;
      for (const { nid, state } of away) {
        if (!served && nid === lost) continue;
        changes.push({
          partition,
          nid,
          state: state === CellState.FEEDING ? CellState.DISCARDED : CellState.OUT_OF_DATE,
        });
      }
    }
    return changes;
  }

  /** The node replicates these of its cells from now on. Readable ones are left alone. */
  startReplication(nid: Nid, partitions: readonly number[]): void {
    for (const partition of partitions) {
      const state = this.cellState(partition, nid);
      if (state === null || isReadable(state)) continue;
      const replicating = this.#replicating.get(nid) ?? new Set();
      this.#replicating.set(nid, replicating.add(partition));
    }
  }

  /**
   * The change due to a cell that is replicated.
   *
   * @returns nothing if the cell is not being replicated: it was changed since.
   */
  replicated(nid: Nid, partition: number): CellChange[] {
    if (
      this.cellState(partition, nid) !== CellState.OUT_OF_DATE ||
      !this.#replicating.get(nid)?.has(partition)
    ) return [];
    return [{ partition, nid, state: CellState.UP_TO_DATE }];
  }

  /** The changes that discard feeding cells which are not needed any more, as enough readable ones remain. */
  surplus(partitions: Iterable<number>): CellChange[] {
    const changes: CellChange[] = [];
    for (const partition of partitions) {
      const row = this.cells(partition);
      const feeding = row.filter(({ state }) => state === CellState.FEEDING)
        .sort((a, b) => Number(this.#onlyFeeds(b.nid)) - Number(this.#onlyFeeds(a.nid)));
      const readable = this.readableCells(partition).length;
      if (readable === feeding.length) continue;
      const surplus = readable === row.length
        ? feeding.length
        : Math.max(0, readable - (this.replicas + 1));
      for (const { nid } of feeding.slice(0, surplus)) {
        changes.push({ partition, nid, state: CellState.DISCARDED });
      }
    }
    return changes;
  }

  /** Whether a node is about to leave: it only has feeding cells. */
  #onlyFeeds(nid: Nid): boolean {
    return this.rows.every((row) =>
      row.every((cell) => cell.nid !== nid || cell.state === CellState.FEEDING)
    );
  }

  /** The version of the table since which a cell is written to by commits; 0 if that is long ago. */
  assignedSince(partition: number, nid: Nid): number {
    return this.#assigned.get(nid)?.get(partition) ?? 0;
  }

  protected override setCell(change: CellChange): void {
    const { partition, nid, state } = change;
    const before = this.cellState(partition, nid);
    super.setCell(change);
    if (state === CellState.DISCARDED) this.#assigned.get(nid)?.delete(partition);
    else if (before === null || before === CellState.CORRUPTED) {
      const assigned = this.#assigned.get(nid) ?? new Map();
      this.#assigned.set(nid, assigned.set(partition, (this.ptid ?? 0) + 1));
    }
    // A round of replication ends with any change of the cell: what is told about it is late.
    this.#replicating.get(nid)?.delete(partition);
    if (state !== CellState.DISCARDED) this.#members.add(nid);
  }
}
