/**
 * The search for the last version of the partition table among those that storages have saved.
 *
 * @module
 */

import type { Node } from "../node/node_table.ts";
import { CellState, NodeType } from "../protocol/enums.ts";
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
  /** A table that was loaded is not used: no storage that it calls up to date has saved it. */
  disbelieved(storage: Node, version: number): void;
  /** The only storage that has the table was lost. */
  unreachable(storage: Node, version: number): void;
}

/**
 * Finds the greatest version, and loads it into a table.
 *
 * It is not believed if all the storages that it calls up to date only know older ones: it was made when
 * they were about to be lost, and saved by others. Nothing was committed with it, because they save
 * what they are told before they vote. But since then, the cluster may have gone on without those
 * others, and outdated one of the storages.
 */
export class TableSearch {
  readonly #table: MasterPartitionTable;
  readonly #events: TableSearchEvents;
  /** What this master knows itself, and need not ask for. */
  readonly #own: ArgsOf<"SendPartitionTable"> | null;
  /** The version that each storage has saved, 0 for none. */
  readonly #versions = new Map<Node, number>();
  /** Storages whose table is not believed. */
  readonly #misled = new Set<Node>();
  #version: number;
  #loaded: boolean;
  /** Who the loaded table is from; `null` if this master knew it. */
  #source: Node | null = null;
  /** Storages that have that version; the first one is being asked for it. */
  #candidates: Node[] = [];

  constructor(table: MasterPartitionTable, events: TableSearchEvents) {
    this.#table = table;
    this.#events = events;
    const { ptid, replicas, rows } = table;
    this.#own = ptid === null ? null : { ptid, replicas, rows: rows.map((row) => [...row]) };
    this.#version = ptid ?? 0;
    this.#loaded = this.#own !== null;
  }

  /** The version that is wanted, 0 if there is no table. */
  get version(): number {
    return this.#version;
  }

  /** Whether the table is that version. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** A storage has saved a version, 0 for none. */
  reported(storage: Node, version: number): void {
    this.#versions.set(storage, version);
    if (version > this.#version) {
      this.#misled.clear();
      this.#version = version;
      this.#loaded = false;
      this.#candidates = [];
    }
    this.#misled.delete(storage);
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
    if (!this.#settled) {
      this.#table.load(table);
      this.#loaded = true;
      this.#source = storage;
      this.#events.loaded();
    }
    this.#candidates.shift();
    if (this.#doubt()) return;
    if (this.#settled) this.#candidates = [];
    const [next] = this.#candidates;
    if (next !== undefined) this.#events.ask(next);
  }

  /** A storage is not there any more. */
  lost(storage: Node): void {
    this.#versions.delete(storage);
    this.#misled.delete(storage);
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

  /** Goes back to the version before one that can't be believed. Returns whether it does. */
  #doubt(): boolean {
    const source = this.#source;
    if (!this.#loaded || source === null || !this.#forsaken()) return false;
    this.#events.disbelieved(source, this.#version);
    this.#misled.add(source);
    const believed = [...this.#versions].filter(([storage]) => !this.#misled.has(storage));
    this.#version = Math.max(this.#own?.ptid ?? 0, ...believed.map(([, version]) => version));
    this.#loaded = false;
    this.#source = null;
    this.#candidates = [];
    if (this.#own?.ptid === this.#version) {
      this.#table.load(this.#own);
      this.#loaded = true;
      this.#events.loaded();
    } else {
      this.#candidates = believed.filter(([, version]) => version === this.#version)
        .map(([storage]) => storage);
      const [first] = this.#candidates;
      if (first !== undefined) this.#events.ask(first);
    }
    return true;
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
