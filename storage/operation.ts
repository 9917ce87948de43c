/**
 * The operation phase: from `StartOperation` on, the node serves clients and other storages. Nothing
 * of it survives its end but what is in the database.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import type { Handler } from "../network/handler.ts";
import { spansOf } from "../network/tracer.ts";
import type { NodeMeasures } from "../node/measures.ts";
import type { NodeTable } from "../node/node_table.ts";
import type { PartitionTable } from "../node/partition_table.ts";
import { CellState } from "../protocol/enums.ts";
import { hexId, type Oid, type Tid } from "../protocol/ids.ts";
import { type Address, type Nid, nodeName } from "../protocol/nodes.ts";
import { Background } from "./background.ts";
import { Cells } from "./cells.ts";
import type { Client } from "./client.ts";
import { ClientHandler } from "./client_handler.ts";
import type { CellChange, Database } from "./database/database.ts";
import { Dropping } from "./dropping.ts";
import { Flow } from "./flow.ts";
import { LowPriority } from "./low_priority.ts";
import { Packer } from "./packer.ts";
import type { Packs } from "./packs.ts";
import { Reads } from "./reads.ts";
import type { Repair } from "./repair.ts";
import { OutdatedCells } from "./replication/outdated_cells.ts";
import { Replicas } from "./replication/replicas.ts";
import { Transactions, type Watch } from "./transactions.ts";
import { Writes } from "./writes.ts";

/** What the operation of a node works on. */
export interface OperationContext {
  readonly env: Environment;
  readonly database: Database;
  readonly nodes: NodeTable;
  readonly table: PartitionTable;
  readonly master: Connection;
  readonly nid: Nid;
  readonly cluster: string;
  /** Where this node listens. */
  readonly address: Address;
  readonly repair: Repair;
  readonly packs: Packs;
  readonly watch: Watch;
}

/** One operation, between a `StartOperation` and its end. */
export class Operation {
  readonly transactions: Transactions;
  readonly reads: Reads;
  readonly replicas: Replicas;
  readonly background: Background;
  readonly packer: Packer;
  readonly #writes: Writes;
  readonly #cells: Cells;
  readonly #database: Database;
  readonly #priority: LowPriority;
  readonly #clients = new Map<Nid, Client>();

  constructor(context: OperationContext) {
    const { env, database, master, nid, repair, watch } = context;
    this.#database = database;
    this.#priority = new LowPriority(env);
    this.transactions = new Transactions(
      env.log,
      database,
      watch,
      spansOf(env.tracer, nid),
    );
    const outdated = new OutdatedCells(env.log, database, this.transactions, {
      done: (partition, tid) => master.notify("NotifyReplicationDone", { partition, tid }),
      watch,
    });
    this.#cells = new Cells(database, outdated);
    this.reads = new Reads(env.log, database, this.#cells, this.transactions);
    this.#writes = new Writes(env.log, database, this.#cells, this.transactions);
    this.packer = new Packer(context);
    this.replicas = new Replicas({
      ...context,
      outdated,
      readLocks: this.transactions.readLocks,
      priority: this.#priority,
      packed: (partition) => this.packer.idle(partition),
    });
    const jobs = [new Dropping(env.log, database), repair];
    this.background = new Background(jobs, this.#priority, watch);
  }

  /** The master was told that the node is ready. */
  start(): void {
    this.replicas.start();
    this.background.wake();
  }

  /**
   * A client has identified itself. Returns what handles its messages. If it has another connection,
   * it has lost that one, which was not noticed here yet.
   */
  connect(connection: Connection, nid: Nid): Handler {
    this.#clients.get(nid)?.connection.close();
    const flow = new Flow(
      connection,
      () => this.#database.flush(),
      () => this.#priority.clientAsked(),
    );
    const client: Client = { nid, connection, flow, transactions: new Set(), objects: 0 };
    this.#clients.set(nid, client);
    return new ClientHandler(client, this.reads, this.#writes, this.transactions);
  }

  /** A connection is gone, of a client or not. */
  disconnected(connection: Connection): void {
    for (const client of this.#clients.values()) {
      if (client.connection !== connection) continue;
      this.#clients.delete(client.nid);
      this.transactions.connectionLost(client);
      return;
    }
    this.replicas.disconnected(connection);
  }

  /** The master says that a client is not running any more. */
  clientGone(nid: Nid): void {
    this.transactions.clientGone(nid);
    this.#clients.get(nid)?.connection.close();
  }

  /** The master says that a transaction has ended, with its tid if it was committed. */
  finished(ttid: Tid, tid: Tid | null): void {
    // Messages of a client may arrive after the abort of their transaction.
    this.transactions.abort(ttid, tid === null);
    this.replicas.finished(ttid, tid);
  }

  /** The cells of the node changed. */
  cellsChanged(changes: readonly CellChange[]): void {
    // Only cells that are complete, or gone, change what remains to be packed.
    if (changes.some(({ state }) => state !== CellState.OUT_OF_DATE)) this.packer.wake();
    const unusable = new Set<number>();
    for (const { partition, state } of changes) {
      if (state === CellState.DISCARDED || state === CellState.CORRUPTED) unusable.add(partition);
    }
    this.replicas.cellsChanged(changes);
    if (unusable.size === 0) return;
    this.transactions.discard(
      unusable,
      (oid: Oid) => unusable.has(this.#cells.partitionOf(oid)),
    );
    this.background.wake();
  }

  /** Forgets everything that is not in the database. */
  stop(): void {
    this.background.stop();
    this.replicas.stop();
    this.packer.stop();
    this.transactions.stop();
    for (const { connection } of [...this.#clients.values()]) connection.close();
    this.#clients.clear();
  }

  /** Numbers for those who watch over the node. */
  measure(): NodeMeasures["values"] {
    const { locks, readLocks } = this.transactions;
    let waiting = readLocks.waiting;
    for (const { flow } of this.#clients.values()) waiting += flow.waiting;
    return {
      transactions: [...this.transactions.list()].length,
      lockedObjects: locks.size,
      waitingRequests: waiting,
      conflicts: this.#writes.conflicts,
    };
  }

  /** Lines for logs. */
  *dump(): Iterable<string> {
    for (const { nid, connection, flow, transactions } of this.#clients.values()) {
      yield `client ${nodeName(nid)} (${connection.remote}): ${transactions.size} transactions, ` +
        `${flow.waiting} requests wait`;
    }
    const { current } = this.packer;
    if (current !== null) yield `pack ${hexId(current.id)} is in partition ${current.partition}`;
    for (const transaction of this.transactions.list()) yield `transaction ${transaction}`;
    const { locks, readLocks } = this.transactions;
    yield `${locks.size} objects are locked, ${readLocks.size} transactions are being committed, ` +
      `${readLocks.waiting} reads wait for them`;
    yield* this.replicas.dump();
  }
}
