/**
 * The partition table: which storage nodes hold which partition.
 *
 * @module
 */

import { CellState, isReadable } from "../protocol/enums.ts";
import { ProtocolError } from "../protocol/errors.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";

/** The assignment of a partition to a storage node. */
export interface Cell {
  readonly nid: Nid;
  readonly state: CellState;
}

/** A change of one cell; `DISCARDED` removes it. */
export interface CellChange extends Cell {
  readonly partition: number;
}

/** The cells of all partitions, as the primary master announces them. */
export class PartitionTable {
  #ptid: number | null = null;
  #replicas = 0;
  #rows: Cell[][] = [];

  /** Version of the table, `null` while there is none. */
  get ptid(): number | null {
    return this.#ptid;
  }

  /** Wanted number of copies besides the first. */
  get replicas(): number {
    return this.#replicas;
  }

  /** Number of partitions. */
  get partitions(): number {
    return this.#rows.length;
  }

  /** Every partition with its cells, as they are sent. */
  get rows(): readonly (readonly Cell[])[] {
    return this.#rows;
  }

  /** Whether every partition has a cell. */
  get filled(): boolean {
    return this.#rows.length > 0 && this.#rows.every((row) => row.length > 0);
  }

  /** The cells of a partition, in any state: those that commits write to. */
  cells(partition: number): readonly Cell[] {
    return this.#rows[partition] ?? [];
  }

  /** The cells of a partition that may be read. */
  readableCells(partition: number): Cell[] {
    return this.cells(partition).filter(({ state }) => isReadable(state));
  }

  /** The state of a node's cell, `null` if it has none. */
  cellState(partition: number, nid: Nid): CellState | null {
    return this.cells(partition).find((cell) => cell.nid === nid)?.state ?? null;
  }

  /** Whether a node has a cell. */
  hasNode(nid: Nid): boolean {
    return this.#rows.some((row) => row.some((cell) => cell.nid === nid));
  }

  /** Whether every partition can be read on a node that is running. */
  operational(running: (nid: Nid) => boolean): boolean {
    return this.#rows.length > 0 &&
      this.#rows.every((row) => row.some(({ nid, state }) => isReadable(state) && running(nid)));
  }

  /** Forgets everything. */
  clear(): void {
    this.#ptid = null;
    this.#replicas = 0;
    this.#rows = [];
  }

  /** Replaces the table. */
  load({ ptid, replicas, rows }: ArgsOf<"SendPartitionTable">): void {
    const copies = rows.map((row) => row.map(({ nid, state }) => ({ nid, state })));
    for (const [partition, row] of copies.entries()) {
      if (new Set(row.map(({ nid }) => nid)).size < row.length) {
        throw new ProtocolError(`partition ${partition} has two cells on the same node`);
      }
    }
    this.#ptid = ptid;
    this.#replicas = replicas;
    this.#rows = copies;
  }

  /**
   * Applies changes.
   *
   * @throws {ProtocolError} if they are not newer than the table, or name a partition that is not
   * in it.
   */
  change({ ptid, replicas, cells }: ArgsOf<"NotifyPartitionChanges">): void {
    if (this.#ptid === null || ptid <= this.#ptid) {
      throw new ProtocolError(`partition table ${ptid} can't follow ${this.#ptid}`);
    }
    for (const { partition } of cells) {
      if (partition >= this.#rows.length) throw new ProtocolError(`no partition ${partition}`);
    }
    for (const change of cells) this.setCell(change);
    this.#ptid = ptid;
    this.#replicas = replicas;
  }

  /** Creates, changes or removes one cell. Cells keep their place in the row. */
  protected setCell({ partition, nid, state }: CellChange): void {
    const row = this.#rows[partition];
    if (row === undefined) throw new RangeError(`no partition ${partition}`);
    const index = row.findIndex((cell) => cell.nid === nid);
    if (state === CellState.DISCARDED) {
      if (index >= 0) row.splice(index, 1);
    } else if (index >= 0) row[index] = { nid, state };
    else row.push({ nid, state });
  }
}
