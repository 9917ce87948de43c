/**
 * What storages do with each other in operation: filling cells, and checking them.
 *
 * @module
 */

import type { Connection } from "../../network/connection.ts";
import type { Environment } from "../../network/environment.ts";
import type { NodeTable } from "../../node/node_table.ts";
import type { PartitionTable } from "../../node/partition_table.ts";
import { CellState } from "../../protocol/enums.ts";
import type { Tid } from "../../protocol/ids.ts";
import type { ArgsOf } from "../../protocol/messages.ts";
import type { Address, Nid } from "../../protocol/nodes.ts";
import type { CellChange, Database } from "../database/mod.ts";
import type { LowPriority } from "../low_priority.ts";
import type { Packs } from "../packs.ts";
import type { ReadLocks } from "../read_locks.ts";
import type { Watch } from "../transactions.ts";
import { Checker } from "./checker.ts";
import { Feed } from "./feed.ts";
import { Feeder } from "./feeder.ts";
import type { OutdatedCells } from "./outdated_cells.ts";
import { Peers } from "./peers.ts";
import { Ranges } from "./ranges.ts";
import { Replicator } from "./replicator.ts";
import { Sources } from "./sources.ts";
import { StorageHandler } from "./storage_handler.ts";

/** What other storages are dealt with by. */
export interface ReplicasContext {
  readonly env: Environment;
  readonly database: Database;
  readonly nodes: NodeTable;
  readonly table: PartitionTable;
  readonly master: Connection;
  readonly nid: Nid;
  readonly cluster: string;
  readonly address: Address;
  readonly watch: Watch;
  readonly outdated: OutdatedCells;
  readonly readLocks: ReadLocks;
  readonly priority: LowPriority;
  readonly packs: Packs;
  /** Resolves when a partition is not being packed. */
  readonly packed: (partition: number) => Promise<void>;
}

/** The copies of the cells of this node, and the nodes that have them. */
export class Replicas {
  readonly #context: ReplicasContext;
  readonly #peers: Peers;
  readonly #feeder: Feeder;
  readonly #ranges: Ranges;
  readonly #replicator: Replicator;
  readonly #checker: Checker;
  readonly #feeds = new Map<Connection, Feed>();

  constructor(context: ReplicasContext) {
    this.#context = context;
    const { env, database, nodes, table, nid, readLocks, packed } = context;
    this.#peers = new Peers(
      context,
      (connection, nid) => this.#handlerOf(connection, nid),
      (connection) => {
        this.#feeds.get(connection)?.closed();
        this.#feeds.delete(connection);
      },
    );
    this.#feeder = new Feeder(env, database, readLocks, packed);
    this.#ranges = new Ranges(
      env,
      database,
      readLocks,
      (partition) => table.cellState(partition, nid),
    );
    const sources = new Sources(env, nodes, table, nid);
    const [peers, ranges] = [this.#peers, this.#ranges];
    this.#replicator = new Replicator({ ...context, peers, sources });
    this.#checker = new Checker({ ...context, peers, ranges });
  }

  #handlerOf(connection: Connection, nid: Nid): StorageHandler {
    const feed = new Feed(connection, this.#context.priority);
    this.#feeds.set(connection, feed);
    return new StorageHandler(
      connection,
      nid,
      this.#peers,
      feed,
      this.#feeder,
      this.#ranges,
      this.#replicator,
    );
  }

  /** The operation starts. */
  start(): void {
    this.#replicator.start();
  }

  /**
   * A storage has identified itself.
   *
   * @throws {Refusal} if it is connected already.
   */
  accept(connection: Connection, nid: Nid): void {
    this.#peers.accept(connection, nid);
  }

  /** A connection is gone, of a storage or not. */
  disconnected(connection: Connection): void {
    this.#peers.disconnected(connection);
  }

  /** The master says that a transaction has ended, with its tid if it was committed. */
  finished(ttid: Tid, tid: Tid | null): void {
    this.#replicator.finished(ttid, tid);
  }

  /** The master wants a partition to be compared with its copies. */
  check(order: ArgsOf<"CheckPartition">): void {
    this.#checker.check(order);
  }

  /** Cells of this node changed. */
  cellsChanged(changes: readonly CellChange[]): void {
    const added: number[] = [];
    for (const { partition, state } of changes) {
      if (state === CellState.OUT_OF_DATE) added.push(partition);
      else this.#replicator.remove(partition);
    }
    this.#replicator.add(added);
  }

  /** The master said something about nodes or cells. */
  changed(): void {
    this.#replicator.kick();
  }

  /** The operation has ended. */
  stop(): void {
    this.#replicator.stop();
    this.#checker.stop();
    this.#peers.stop();
  }

  /** Lines for logs. */
  *dump(): Iterable<string> {
    yield* this.#peers.dump();
    yield* this.#replicator.dump();
    yield `${this.#checker.waiting} partitions are being checked, or wait for it`;
    yield* this.#context.outdated.dump();
  }
}
