/**
 * What is learnt, during recovery, from storages that have saved another table than the one that is
 * loaded: an older one, or one that got the same version without knowing of it.
 *
 * @module
 */

import type { Node } from "../node/node_table.ts";
import type { CellChange } from "../node/partition_table.ts";
import { CellState, isReadable } from "../protocol/enums.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { MasterPartitionTable } from "./partition_table.ts";

/** A table that a storage has saved. */
export type SavedTable = ArgsOf<"SendPartitionTable">;

/** Whether a table has a cell for a storage. */
export function hasCell({ rows }: SavedTable, nid: Nid): boolean {
  return rows.some((row) => row.some((cell) => cell.nid === nid));
}

/** Tells that a storage gets another id, because its own table gives it no cell. */
export function notOwner(storage: Node): string {
  return `${storage} has never heard of the cells that its id has: the id is another one's by now`;
}

/** The tables that storages have told. */
export class OlderTables {
  readonly #table: MasterPartitionTable;
  /** `null` until a storage has answered. */
  readonly #saved = new Map<Node, SavedTable | null>();

  constructor(table: MasterPartitionTable) {
    this.#table = table;
  }

  /** A storage is being asked. */
  begin(storage: Node): void {
    if (!this.#saved.has(storage)) this.#saved.set(storage, null);
  }

  /** The table of a storage, `null` if it is being asked, `undefined` if it was not. */
  of(storage: Node): SavedTable | null | undefined {
    return this.#saved.get(storage);
  }

  /** A storage has told its table. */
  add(storage: Node, table: SavedTable): void {
    this.#saved.set(storage, table);
  }

  lost(storage: Node): void {
    this.#saved.delete(storage);
  }

  /**
   * The cells that got up to date without an older copy having saved that. It may have served alone since,
   * so that they miss something. They have nothing that it lacks: it would have saved that table before it
   * took part in a commit with it.
   */
  promotedUnseen(): CellChange[] {
    const table = this.#table;
    const changes: CellChange[] = [];
    const tables = [...this.#saved].flatMap(([{ nid }, saved]) =>
      nid === null || saved === null ? [] : [{ nid, saved }]
    ).sort((a, b) => (a.saved.ptid ?? 0) - (b.saved.ptid ?? 0));
    for (const [partition, row] of table.rows.entries()) {
      const unseen = new Set<Nid>();
      for (const { nid, saved } of tables) {
        const readable = (id: Nid) =>
          saved.rows[partition]?.some((cell) => cell.nid === id && isReadable(cell.state)) ?? false;
        if (unseen.has(nid) || !readable(nid)) continue;
        const own = row.find((cell) => cell.nid === nid);
        if (own === undefined || !isReadable(own.state)) continue;
        for (const cell of row) {
          if (isReadable(cell.state) && !readable(cell.nid)) unseen.add(cell.nid);
        }
      }
      for (const nid of unseen) changes.push({ partition, nid, state: CellState.OUT_OF_DATE });
    }
    return changes;
  }
}
