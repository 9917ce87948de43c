/**
 * Fills the out-of-date cells of this node from other storages.
 *
 * A cell is filled up to the last transaction, then again up to the end of the transactions that had
 * begun before this node told the master that it replicates: all those that begin later are received
 * in full. One partition is filled at a time, from any node that has it.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Connection } from "../../network/connection.ts";
import type { CancelTimer, Environment } from "../../network/environment.ts";
import { errorText } from "../../network/log.ts";
import type { PartitionTable } from "../../node/partition_table.ts";
import { CellState } from "../../protocol/enums.ts";
import { addTid, hexId, type Tid, ZERO_TID } from "../../protocol/ids.ts";
import { type Nid, nodeName } from "../../protocol/nodes.ts";
import { type Database, DatabaseError, LimitError } from "../database/mod.ts";
import type { LowPriority } from "../low_priority.ts";
import type { Packs } from "../packs.ts";
import type { ReadLocks } from "../read_locks.ts";
import type { Watch } from "../transactions.ts";
import { DivergedError, SourceError } from "./chunk.ts";
import { Fetch, type Position } from "./fetch.ts";
import type { OutdatedCells } from "./outdated_cells.ts";
import type { Peers } from "./peers.ts";
import type { Sources } from "./sources.ts";

/** What replication works with. */
export interface ReplicatorContext {
  readonly env: Environment;
  readonly database: Database;
  readonly table: PartitionTable;
  readonly nid: Nid;
  readonly master: Connection;
  readonly peers: Peers;
  readonly sources: Sources;
  readonly outdated: OutdatedCells;
  readonly readLocks: ReadLocks;
  readonly packs: Packs;
  readonly priority: LowPriority;
  readonly watch: Watch;
}

/** A cell that is being filled. */
interface Progress {
  readonly partition: number;
  readonly position: Position;
  /** Whether the resume point was read. */
  loaded: boolean;
  /** Transactions begun before, up to this ttid, may still commit; `null` if none. */
  waitsFor: Tid | "unknown" | null;
  /** The tid up to which it has to be filled now. */
  target: Tid | null;
}

/** What is being done. */
interface Current {
  readonly progress: Progress;
  readonly source: Nid;
  /** `null` until the source is connected. */
  fetch: Fetch | null;
}

/** Replicates. */
export class Replicator {
  readonly #context: ReplicatorContext;
  readonly #partitions = new Map<number, Progress>();
  /** Transactions whose end is waited for. */
  readonly #unfinished = new Set<Tid>();
  #current: Current | null = null;
  /** Ends when nothing writes to a cell any more. */
  #work: Promise<void> = Promise.resolve();
  #cancelTimer: CancelTimer = () => {};
  #stopped = false;

  constructor(context: ReplicatorContext) {
    this.#context = context;
  }

  /** The replication in progress. */
  get fetch(): Fetch | null {
    return this.#current?.fetch ?? null;
  }

  /** The operation starts. */
  start(): void {
    const { table, nid } = this.#context;
    const partitions: number[] = [];
    for (let partition = 0; partition < table.partitions; partition++) {
      if (table.cellState(partition, nid) === CellState.OUT_OF_DATE) partitions.push(partition);
    }
    this.add(partitions);
  }

  /** Cells have to be filled. */
  add(partitions: readonly number[]): void {
    if (partitions.length === 0) return;
    const { database, master, outdated, packs, watch } = this.#context;
    const added: Progress[] = partitions.map((partition) => ({
      partition,
      position: {
        resumed: ZERO_TID,
        transactions: ZERO_TID,
        objects: ZERO_TID,
        verified: ZERO_TID,
        packs: packs.last,
      },
      loaded: false,
      waitsFor: "unknown",
      target: null,
    }));
    for (const progress of added) this.#partitions.set(progress.partition, progress);
    outdated.replicating(partitions);
    master.request(
      "AskUnfinishedTransactions",
      { partitions: [...partitions] },
      ({ lastTid, ttids }) => this.#begin(added, lastTid, ttids),
      // It is about to be lost.
      () => {},
    );
    watch(
      database.cells.resumePoints().then((points) => {
        for (const progress of added) {
          const point = points.get(progress.partition) ?? ZERO_TID;
          Object.assign(progress.position, {
            resumed: point,
            transactions: point,
            objects: point,
            verified: point,
          });
          progress.loaded = true;
        }
        this.kick();
      }),
    );
  }

  /** A cell is readable, not usable or not there any more. */
  remove(partition: number): void {
    const { outdated, sources } = this.#context;
    this.#partitions.delete(partition);
    sources.forget(partition);
    outdated.forget(partition);
    const { fetch, progress } = this.#current ?? {};
    if (progress?.partition === partition) fetch?.stop(new SourceError("the cell was changed"));
  }

  #begin(added: readonly Progress[], lastTid: Tid, ttids: readonly Tid[]): void {
    if (this.#stopped) return;
    let last: Tid | null = null;
    for (const ttid of ttids) {
      this.#unfinished.add(ttid);
      if (last === null || ttid > last) last = ttid;
    }
    for (const progress of added) {
      progress.waitsFor = last;
      progress.target = lastTid;
    }
    this.kick();
  }

  /** The end of a transaction, with its tid if it was committed. */
  finished(ttid: Tid, tid: Tid | null): void {
    if (!this.#unfinished.delete(ttid)) return;
    let first: Tid | null = null;
    for (const other of this.#unfinished) if (first === null || other < first) first = other;
    for (const progress of this.#partitions.values()) {
      const { waitsFor } = progress;
      if (waitsFor === null || waitsFor === "unknown") continue;
      if (tid !== null && (progress.target ?? ZERO_TID) < tid) progress.target = tid;
      if (first !== null && waitsFor >= first) continue;
      progress.waitsFor = null;
      if (progress.target === null && this.#current?.progress !== progress) {
        this.#replicated(progress);
      }
    }
    this.kick();
  }

  /** Starts what can be. To be called when anything changed that may make a source usable. */
  kick(): void {
    if (this.#stopped || this.#current !== null) return;
    this.#cancelTimer();
    const { env, sources } = this.#context;
    let wait: number | null = null;
    for (const progress of this.#waiting()) {
      const source = sources.choose(progress.partition);
      if (source !== null) return this.#replicate(progress, source);
      const time = sources.wait(progress.partition);
      if (time !== null && (wait === null || time < wait)) wait = time;
    }
    if (wait !== null) this.#cancelTimer = env.setTimer(wait, () => this.kick());
  }

  /** The cells to fill, first those that are the furthest behind, then those that can be done. */
  #waiting(): Progress[] {
    return [...this.#partitions.values()]
      .filter(({ loaded, target }) => loaded && target !== null)
      .sort((a, b) =>
        a.position.objects === b.position.objects
          ? Number(a.waitsFor !== null) - Number(b.waitsFor !== null)
          : a.position.objects < b.position.objects
          ? -1
          : 1
      );
  }

  #replicate(progress: Progress, source: Nid): void {
    const { target } = progress;
    assert(target !== null);
    progress.target = null;
    const current: Current = { progress, source, fetch: null };
    this.#current = current;
    this.#fetch(current, target).then(
      () => this.#fetched(progress),
      (error) => this.#failed(current, target, error),
    ).finally(() => {
      this.#current = null;
      this.kick();
    });
  }

  async #fetch(current: Current, max: Tid): Promise<void> {
    const { env, database, master, packs, peers, priority, readLocks } = this.#context;
    const { source, progress: { partition, position } } = current;
    const connection = await peers.acquire(source);
    try {
      if (this.#stopped || this.#partitions.get(partition) !== current.progress) return;
      env.log.info(
        `partition ${partition}: replicating from ${nodeName(source)}, ` +
          `${hexId(position.transactions)} to ${hexId(max)}`,
      );
      const before = Promise.all([this.#work, readLocks.committed(max)]);
      // The master tells everybody at the same time: whatever comes later than its answer is new.
      const upToDate = () => master.ask("Ping", {});
      const fetch = new Fetch(
        database,
        packs,
        connection,
        partition,
        position,
        max,
        before,
        upToDate,
        { turn: () => priority.turn(), now: env.monotonic },
      );
      current.fetch = fetch;
      try {
        await fetch.run();
      } finally {
        this.#work = fetch.work;
      }
    } finally {
      peers.release(source, connection);
    }
  }

  #fetched(progress: Progress): void {
    const { partition, target, waitsFor } = progress;
    if (this.#stopped || this.#partitions.get(partition) !== progress) return;
    if (target === null && waitsFor === null) this.#replicated(progress);
  }

  #replicated({ partition, position }: Progress): void {
    const { env, outdated, sources } = this.#context;
    const tid = addTid(position.objects, -1);
    env.log.info(`partition ${partition}: replicated up to ${hexId(tid)}`);
    this.#partitions.delete(partition);
    sources.forget(partition);
    outdated.replicated(partition, tid);
  }

  #failed({ progress, source }: Current, target: Tid, error: unknown): void {
    const { env: { log }, master, sources } = this.#context;
    const { partition } = progress;
    if (this.#stopped || error instanceof DatabaseError) return;
    if (this.#partitions.get(partition) !== progress) return;
    if (progress.target === null || progress.target < target) progress.target = target;
    const corrupted = error instanceof SourceError && error.corrupted;
    const hopeless = corrupted || error instanceof LimitError || error instanceof DivergedError;
    sources.failed(partition, source, hopeless);
    const text = `partition ${partition}: replication from ${nodeName(source)} stopped: ` +
      errorText(error);
    if (error instanceof DivergedError) {
      return log.error(
        `${text}: it was committed under another master, after a start that was ordered without the ` +
          "others. The cell is not used, and nothing of it is deleted. Save what is needed, then " +
          "erase the database of this node",
      );
    }
    if (!corrupted) return log.warning(text);
    log.error(`${text}; nothing of it is stored, and another source is needed`);
    master.notify("NotifyPartitionCorrupted", { partition, nids: [source] });
  }

  /** The operation has ended. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
    this.#partitions.clear();
    this.fetch?.stop(new Error("the operation has ended"));
  }

  /** Lines for logs. */
  *dump(): Iterable<string> {
    const { fetch, progress, source = null } = this.#current ?? {};
    if (progress !== undefined) {
      yield `partition ${progress.partition} is replicated from ${nodeName(source)}` +
        (fetch === null ? ", which is being connected" : "");
    }
    for (const { partition, position, waitsFor, target } of this.#partitions.values()) {
      const [end, wait] = [target, waitsFor].map((tid) =>
        typeof tid === "bigint" ? hexId(tid) : tid
      );
      yield `partition ${partition} has everything before ${hexId(position.objects)}, ` +
        `target ${end}, waits for ${wait}`;
    }
  }
}
