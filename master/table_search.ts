/**
 * The search for the last version of the partition table among those that storages have saved.
 *
 * @module
 */

import type { Node } from "../node/node_table.ts";
import type { Cell } from "../node/partition_table.ts";
import { CellState, isReadable, NodeType } from "../protocol/enums.ts";
import { ProtocolError } from "../protocol/errors.ts";
import type { AnswerArgsOf, ArgsOf } from "../protocol/messages.ts";
import { nodeName, nodeTypeOf } from "../protocol/nodes.ts";
import type { MasterPartitionTable } from "./partition_table.ts";

/** What a search needs. */
export interface TableSearchEvents {
  /** A storage is to be asked for its table, which goes to `answered`. */
  ask(storage: Node): void;
  /** Another table was loaded. */
  loaded(): void;
  /** A table that was loaded is doubted: no storage that it calls up to date has saved it. */
  doubted(storage: Node, version: number): void;
  /** The only storage that has the table was lost. */
  unreachable(storage: Node, version: number): void;
}

type SavedTable = ArgsOf<"SendPartitionTable">;

/**
 * Finds the greatest version, and loads it into a table.
 *
 * It is doubted if all the storages that it calls up to date only know older ones: it was made when they
 * were about to be lost, and saved by others. Nothing was committed with it, because they save what they
 * are told before they lock. But since then, the cluster may have gone on without those others, and
 * outdated one of the storages.
 *
 * The version before is used then, unless one of the others was up to date in it: without that one, the
 * cluster did not go on, and itself it knows that it missed something.
 */
export class TableSearch {
  readonly #table: MasterPartitionTable;
  readonly #events: TableSearchEvents;
  /** What this master knows itself, and need not ask for. */
  #own: SavedTable | null = null;
  /** The version that each storage has saved, 0 for none. */
  readonly #versions = new Map<Node, number>();
  /** Storages whose table is doubted, from the greatest version to the smallest. */
  readonly #doubted = new Map<Node, SavedTable>();
  #version = 0;
  #loaded = false;
  /** Who the loaded table is from; `null` if there is no doubt about it. */
  #source: Node | null = null;
  /** Storages that have that version; the first one is being asked for it. */
  #candidates: Node[] = [];

  constructor(table: MasterPartitionTable, events: TableSearchEvents) {
    this.#table = table;
    this.#events = events;
    if (table.ptid !== null) this.changed();
  }

  /** The version that is wanted, 0 if there is no table. */
  get version(): number {
    return this.#version;
  }

  /** Whether the table is that version. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Whether the table is this master's own, and not one that a storage has told. */
  get own(): boolean {
    return this.#loaded && this.#own?.ptid === this.#version;
  }

  /** This master has made another version itself. */
  changed(): void {
    this.#own = this.#snapshot();
    this.#version = this.#own.ptid ?? 0;
    this.#loaded = true;
    this.#source = null;
    this.#candidates = [];
  }

  /** A storage has saved a version, 0 for none. */
  reported(storage: Node, version: number): void {
    this.#versions.set(storage, version);
    if (version > this.#version) {
      this.#doubted.clear();
      this.#version = version;
      this.#loaded = false;
      this.#candidates = [];
    }
    this.#doubted.delete(storage);
    if (version > 0 && version === this.#version && !this.#settled) {
      this.#candidates.push(storage);
      if (this.#candidates.length === 1) this.#events.ask(storage);
    }
    this.#doubt();
  }

  /**
   * The table of a storage that was asked.
   *
   * @throws {ProtocolError} if it can't be the one that was announced.
   */
  answered(storage: Node, table: AnswerArgsOf<"AskPartitionTable">): void {
    // Late if a newer version was reported meanwhile.
    if (this.#candidates[0] !== storage) return;
    checkTable(table, this.#version);
    if (!this.#settled) this.#load(table, storage);
    this.#candidates.shift();
    this.#vindicate();
    if (this.#doubt()) return;
    if (this.#settled) this.#candidates = [];
    const [next] = this.#candidates;
    if (next !== undefined) this.#events.ask(next);
  }

  /** A storage is not there any more. */
  lost(storage: Node): void {
    this.#versions.delete(storage);
    this.#doubted.delete(storage);
    const wasAsked = this.#candidates[0] === storage;
    this.#candidates = this.#candidates.filter((node) => node !== storage);
    if (!wasAsked) return;
    const [next] = this.#candidates;
    if (next !== undefined) this.#events.ask(next);
    else if (!this.#loaded) this.#events.unreachable(storage, this.#version);
  }

  /** Whether the table is loaded, and a storage that it calls up to date has saved it. */
  get #settled(): boolean {
    if (!this.#loaded || this.#source === null) return this.#loaded;
    const readable = this.#table.readableNodes();
    return [...this.#versions].some(([{ nid }, version]) =>
      nid !== null && readable.has(nid) && version >= this.#version
    );
  }

  #load(table: SavedTable, source: Node | null): void {
    this.#table.load(table);
    this.#version = table.ptid ?? 0;
    this.#loaded = true;
    this.#source = source;
    this.#events.loaded();
  }

  /** Goes back to the version before one that is doubted. Returns whether it does. */
  #doubt(): boolean {
    const source = this.#source;
    if (!this.#loaded || source === null || !this.#forsaken()) return false;
    this.#events.doubted(source, this.#version);
    this.#doubted.set(source, this.#snapshot());
    const believed = [...this.#versions].filter(([storage]) => !this.#doubted.has(storage));
    this.#version = Math.max(this.#own?.ptid ?? 0, ...believed.map(([, version]) => version));
    this.#loaded = false;
    this.#source = null;
    this.#candidates = [];
    if (this.#own?.ptid === this.#version) this.#load(this.#own, null);
    else {
      this.#candidates = believed.filter(([, version]) => version === this.#version)
        .map(([storage]) => storage);
      const [first] = this.#candidates;
      if (first !== undefined) this.#events.ask(first);
    }
    return true;
  }

  /** Returns to a table that was doubted, if whoever saved it is up to date in the one before. */
  #vindicate(): void {
    for (const [storage, table] of this.#doubted) {
      const missed = table.rows.some((row, partition) => {
        const readable = (cells: readonly Cell[]) =>
          cells.some(({ nid, state }) => nid === storage.nid && isReadable(state));
        return readable(this.#table.cells(partition)) && !readable(row);
      });
      if (!missed) continue;
      this.#candidates = [];
      return this.#load(table, null);
    }
  }

  #snapshot(): SavedTable {
    const { ptid, replicas, rows } = this.#table;
    return { ptid, replicas, rows: rows.map((row) => row.map((cell) => ({ ...cell }))) };
  }

  /** Whether all storages that the table calls up to date are there, and only know older versions. */
  #forsaken(): boolean {
    const readable = this.#table.readableNodes();
    const versions = new Map([...this.#versions].map(([{ nid }, version]) => [nid, version]));
    return readable.size > 0 && [...readable].every((nid) => {
      // One that is empty has lost what it had saved.
      const version = versions.get(nid) ?? 0;
      return version > 0 && version < this.#version;
    });
  }
}

/** @throws {ProtocolError} if it can't be the table that was announced. */
function checkTable({ ptid, rows }: AnswerArgsOf<"AskPartitionTable">, expected: number): void {
  if (ptid !== expected) {
    throw new ProtocolError(`partition table ${ptid}, whereas ${expected} was announced`);
  }
  if (rows.length === 0) throw new ProtocolError(`partition table ${ptid} has no partition`);
  for (const { nid, state } of rows.flat()) {
    if (nodeTypeOf(nid) !== NodeType.STORAGE || state === CellState.DISCARDED) {
      throw new ProtocolError(`partition table ${ptid} has an invalid cell on ${nodeName(nid)}`);
    }
  }
}
