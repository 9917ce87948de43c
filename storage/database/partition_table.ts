/**
 * Table `pt`: the saved partition table, and which partitions are this node's.
 *
 * Column `tid` is `-state` of a cell, except that an out-of-date cell of this node has the tid up to
 * which it holds everything (0 or more), from where its replication resumes. Column `pack` is the id
 * of the last completed pack of a cell of this node, NULL for the others.
 *
 * @module
 */

import assert from "node:assert/strict";
import { CellState, isReadable } from "../../protocol/enums.ts";
import { type Oid, partitionOf, type Tid, ZERO_TID } from "../../protocol/ids.ts";
import type { Nid } from "../../protocol/nodes.ts";
import type { Config } from "./config.ts";
import type { Context } from "./context.ts";
import { type CellChange, LimitError, type SavedPartitionTable } from "./database.ts";
import { asBigInt, asNumber, asTid, type Engine, type Write, write } from "./sql.ts";

/** Greatest number of a partition that all the back-ends can hold. */
const MAX_PARTITION = 0xffff;

const LAST_TID_OF_PARTITION = "(SELECT COALESCE(MAX(tid), 0) FROM (" +
  "SELECT MAX(tid) AS tid FROM obj WHERE `partition` = ? " +
  "UNION ALL SELECT MAX(tid) AS tid FROM trans WHERE `partition` = ?) AS tids)";

/** The cells of this node are in memory, the others only in the database. */
export class PartitionTable {
  #partitions = 0;
  #own = new Map<number, CellState>();
  readonly #discarded = new Set<number>();

  constructor(readonly context: Context, readonly config: Config) {}

  /** Number of partitions, 0 without partition table. */
  get partitions(): number {
    return this.#partitions;
  }

  /** Partition of an id. Without partition table there is nothing to find, in any of them. */
  partitionOf(id: Oid | Tid): number {
    return this.#partitions === 0 ? 0 : partitionOf(id, this.#partitions);
  }

  /** Partitions of which this node has a cell, ascending. */
  assigned(): number[] {
    return [...this.#own.keys()].sort((a, b) => a - b);
  }

  /** Partitions of which this node has a readable cell, ascending. */
  readable(): number[] {
    return this.assigned().filter((partition) => this.isReadable(partition));
  }

  isAssigned(partition: number): boolean {
    return this.#own.has(partition);
  }

  isReadable(partition: number): boolean {
    const state = this.#own.get(partition);
    return state !== undefined && isReadable(state);
  }

  /** Partitions without cell on this node whose data has to be deleted, ascending. */
  get discarded(): number[] {
    return [...this.#discarded].sort((a, b) => a - b);
  }

  /** Whether the data of a partition has to be deleted. */
  isDiscarded(partition: number): boolean {
    return this.#discarded.has(partition);
  }

  /** Nothing remains of a discarded partition. */
  dropped(partition: number): void {
    this.#discarded.delete(partition);
  }

  /** Reads the number of partitions and the cells of this node. */
  async load(engine: Engine): Promise<void> {
    const [last] = await engine.read("SELECT MAX(`partition`) FROM pt", []);
    this.#partitions = last === undefined || last[0] === null ? 0 : asNumber(last[0]) + 1;
    this.#own.clear();
    const nid = this.config.number("nid");
    if (nid === null) return;
    const rows = await engine.read("SELECT `partition`, tid FROM pt WHERE nid = ?", [nid]);
    for (const [partition, tid] of rows) this.#own.set(asNumber(partition), stateOf(asBigInt(tid)));
  }

  /**
   * Gives this node, which is a copy, cells of its own that are out of date from what it has on, as the
   * master does. The cells of the other node remain: it may have taken part in commits since it was copied.
   */
  clone(nid: Nid): Write[] {
    const old = this.config.number("nid");
    if (old === null || old === nid) return [];
    return [
      write("DELETE FROM pt WHERE nid = ?", nid),
      ...this.assigned().map((partition) =>
        write(
          `INSERT INTO pt SELECT \`partition\`, ?, CASE WHEN tid = ${-CellState
            .CORRUPTED} THEN 0 WHEN tid < 0 THEN ${LAST_TID_OF_PARTITION} ELSE tid END, ` +
            "pack FROM pt WHERE `partition` = ? AND nid = ?",
          nid,
          partition,
          partition,
          partition,
          old,
        )
      ),
      write(
        "UPDATE pt SET tid = CASE WHEN tid < 0 THEN tid ELSE 0 END, pack = NULL WHERE nid = ?",
        old,
      ),
    ];
  }

  /** The whole saved table. */
  async saved(): Promise<SavedPartitionTable | null> {
    const ptid = this.config.number("ptid");
    if (ptid === null) return null;
    await this.context.queue.visible();
    const rows = await this.context.read(
      "SELECT `partition`, nid, tid FROM pt ORDER BY `partition`, nid",
    );
    return {
      ptid,
      replicas: this.config.number("replicas") ?? 0,
      cells: rows.map(([partition, nid, tid]) => ({
        partition: asNumber(partition),
        nid: asNumber(nid),
        state: stateOf(asBigInt(tid)),
      })),
    };
  }

  /** Applies changes in memory and returns the writes that save them. */
  change(
    ptid: number,
    replicas: number,
    changes: readonly CellChange[],
    reset: boolean,
    lastPack: Tid,
  ): Write[] {
    const self = this.config.number("nid");
    assert(self !== null, "a node without nid has no partition table");
    const tooHigh = changes.find(({ partition }) => partition > MAX_PARTITION);
    if (tooHigh !== undefined) {
      throw new LimitError(
        `there can be at most ${MAX_PARTITION + 1} partitions: ${tooHigh.partition} is too high`,
      );
    }
    const writes: Write[] = [];
    if (reset) writes.push(...this.#reset(self, changes));
    for (const change of changes) {
      if (change.nid === self) writes.push(...this.#changeOwn(change, lastPack));
      else writes.push(saveCell(change));
    }
    writes.push(this.config.set("ptid", ptid), this.config.set("replicas", replicas));
    return writes;
  }

  /** Removes all the cells that are not given. */
  #reset(self: Nid, cells: readonly CellChange[]): Write[] {
    const kept = cells.filter(({ state }) => state !== CellState.DISCARDED);
    this.#partitions = kept.reduce((max, { partition }) => Math.max(max, partition + 1), 0);
    const own = new Set<number>();
    for (const { nid, partition } of kept) if (nid === self) own.add(partition);
    const gone = this.assigned().filter((partition) => !own.has(partition));
    for (const partition of gone) this.#own.delete(partition);
    this.#discarded.clear();
    // What was discarded before this node was started is not known.
    for (let partition = 0; partition < this.#partitions; partition++) {
      if (!own.has(partition)) this.#discard(partition, gone.includes(partition));
    }
    return [
      write("DELETE FROM pt WHERE nid <> ?", self),
      ...gone.map((partition) => removeCell(partition, self)),
    ];
  }

  #changeOwn({ partition, nid, state }: CellChange, lastPack: Tid): Write[] {
    const previous = this.#own.get(partition);
    if (state === CellState.DISCARDED) {
      this.#own.delete(partition);
      this.#discard(partition, true);
      return [removeCell(partition, nid)];
    }
    this.#own.set(partition, state);
    this.#discarded.delete(partition);
    if (previous === undefined) {
      const pack = isReadable(state) ? ZERO_TID : lastPack;
      return [write("REPLACE INTO pt VALUES (?, ?, ?, ?)", partition, nid, 0 - state, pack)];
    }
    // An existing cell keeps its `pack`.
    if (state !== CellState.OUT_OF_DATE) {
      return [updateCell(partition, nid, 0 - state)];
    }
    if (previous === CellState.OUT_OF_DATE) return [];
    if (previous === CellState.CORRUPTED) return [updateCell(partition, nid, 0)];
    // It was readable, so nothing is missing below the last tid it has.
    const backupTid = this.config.tid("backup_tid");
    if (backupTid !== null) return [updateCell(partition, nid, backupTid)];
    return [write(
      `UPDATE pt SET tid = ${LAST_TID_OF_PARTITION} WHERE \`partition\` = ? AND nid = ?`,
      partition,
      partition,
      partition,
      nid,
    )];
  }

  /** Remembers that the data of a partition is to be deleted, unless the operator wants to keep it. */
  #discard(partition: number, hadCell: boolean): void {
    const { disableDropPartitions, log } = this.context.options;
    if (!disableDropPartitions) this.#discarded.add(partition);
    else if (hadCell) log("info", `partition ${partition} is discarded, its data is kept`);
  }

  /** See `CellContents.resumePoints`. */
  async resumePoints(): Promise<Map<number, Tid>> {
    const nid = this.config.number("nid");
    if (nid === null) return new Map();
    await this.context.queue.visible();
    const rows = await this.context.read(
      "SELECT `partition`, tid FROM pt WHERE nid = ? AND tid >= 0",
      nid,
    );
    return new Map(rows.map(([partition, tid]) => [asNumber(partition), asTid(tid)]));
  }

  /** See `CellContents.setResumePoint`. */
  setResumePoint(partition: number, tid: Tid): Write {
    return write(
      "UPDATE pt SET tid = ? WHERE `partition` = ? AND nid = ? AND tid >= 0 AND tid < ?",
      tid,
      partition,
      this.config.number("nid"),
      tid,
    );
  }

  /** See `CellContents.lowerPack`. */
  lowerPack(partition: number, pack: Tid): Write {
    return write(
      "UPDATE pt SET pack = ? WHERE `partition` = ? AND nid = ? AND pack > ?",
      pack,
      partition,
      this.config.number("nid"),
      pack,
    );
  }

  /** See `CellContents.raisePack`. */
  raisePack(partition: number, pack: Tid): Write {
    return write(
      "UPDATE pt SET pack = ? WHERE `partition` = ? AND nid = ? AND pack < ?",
      pack,
      partition,
      this.config.number("nid"),
      pack,
    );
  }

  /** The write that saves the last completed pack of an own cell. */
  setCompletedPack(partition: number, id: Tid): Write {
    return write(
      "UPDATE pt SET pack = ? WHERE `partition` = ? AND nid = ?",
      id,
      partition,
      this.config.number("nid"),
    );
  }

  /** Id of the last completed pack of each own cell. */
  async completedPacks(): Promise<{ partition: number; pack: Tid }[]> {
    const nid = this.config.number("nid");
    if (nid === null) return [];
    await this.context.queue.visible();
    const rows = await this.context.read(
      "SELECT `partition`, pack FROM pt WHERE nid = ? AND pack IS NOT NULL ORDER BY `partition`",
      nid,
    );
    return rows.map(([partition, pack]) => ({
      partition: asNumber(partition),
      pack: asTid(pack),
    }));
  }
}

/** State of a saved cell: a tid means out-of-date. */
function stateOf(tid: bigint): CellState {
  const state = tid < 0n ? Number(-tid) : 0;
  assert(state < CellState.DISCARDED, `no cell state ${state} exists`);
  return state;
}

/** Saves a cell of another node. */
function saveCell({ partition, nid, state }: CellChange): Write {
  if (state === CellState.DISCARDED) return removeCell(partition, nid);
  return write("REPLACE INTO pt VALUES (?, ?, ?, NULL)", partition, nid, 0 - state);
}

function removeCell(partition: number, nid: Nid): Write {
  return write("DELETE FROM pt WHERE `partition` = ? AND nid = ?", partition, nid);
}

function updateCell(partition: number, nid: Nid, tid: number | Tid): Write {
  return write("UPDATE pt SET tid = ? WHERE `partition` = ? AND nid = ?", tid, partition, nid);
}
