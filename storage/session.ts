/**
 * A node with an open database: finds the primary master and does what it says, again and again, until
 * something ends it all.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import type { Handler } from "../network/handler.ts";
import { errorText } from "../network/log.ts";
import { ConfigError } from "../node/errors.ts";
import type { KnownMasters } from "../node/known_masters.ts";
import type { NodeMeasures } from "../node/measures.ts";
import { NodeTable } from "../node/node_table.ts";
import { type Cell, PartitionTable } from "../node/partition_table.ts";
import { PrimaryFinder } from "../node/primary.ts";
import { ClusterState, ErrorCode, NodeState, NodeType } from "../protocol/enums.ts";
import type { AnswerArgsOf, ArgsOf } from "../protocol/messages.ts";
import {
  type Address,
  formatAddress,
  type Nid,
  type NodeDescription,
  nodeName,
  nodeTypeOf,
} from "../protocol/nodes.ts";
import type { Context } from "./context.ts";
import {
  type Database,
  DatabaseError,
  LimitError,
  type SavedPartitionTable,
} from "./database/database.ts";
import { Operation } from "./operation.ts";
import { Packs } from "./packs.ts";
import { Repair } from "./repair.ts";
import { Running } from "./running.ts";
import { Starting } from "./starting.ts";

/** Why a session ends. */
export type Ending =
  /** The node was asked to stop. */
  | { readonly kind: "stopped" }
  /** The master does not need the node now. */
  | { readonly kind: "down" }
  /** The node was removed from the cluster. */
  | { readonly kind: "removed" }
  /** The database can't be used any more. */
  | { readonly kind: "failed"; readonly error: Error };

/** What a session needs of the node around it. */
export interface SessionOptions {
  readonly cluster: string;
  /** Where the node listens. */
  readonly address: Address;
  /** Masters to try. */
  readonly masters: KnownMasters;
  readonly nid: Nid | null;
  readonly newNid: boolean;
  readonly disablePack: boolean;
  /** Closes what other nodes opened. */
  readonly closeConnections: () => void;
  readonly nodesChanged: () => void;
}

/** The life of a node as long as its database works. */
export class Session implements Context {
  readonly nodes = new NodeTable();
  readonly table = new PartitionTable();
  readonly packs: Packs;
  readonly repair: Repair;
  operation: Operation | null = null;
  clusterState: ClusterState | null = null;
  readonly #options: SessionOptions;
  readonly #leaving = new AbortController();
  #nid: Nid | null = null;
  /** The table that was in the database when it was opened. */
  #saved: SavedPartitionTable | null = null;
  /** Whether masters refuse what the node asks for. */
  #refused = false;
  #master: Connection | null = null;
  #masterLost: () => void = () => {};
  #ending: Ending | null = null;

  constructor(
    readonly env: Environment,
    readonly database: Database,
    options: SessionOptions,
  ) {
    this.#options = options;
    this.packs = new Packs(database, options.disablePack);
    this.repair = new Repair(env.log, database);
  }

  get nid(): Nid {
    if (this.#nid === null) throw new Error("the node has no id before it knows a master");
    return this.#nid;
  }

  readonly watch = (promise: Promise<unknown>): void => {
    promise.catch((error: unknown) => {
      // The database tells its failures by itself.
      if (error instanceof DatabaseError) return;
      const { log } = this.env;
      if (error instanceof LimitError) {
        log.error(`the master asks for what the database can't hold: ${error.message}`);
        return this.#loseMaster();
      }
      const failure = error instanceof Error ? error : new Error(String(error));
      log.error(`unexpected failure: ${failure.stack}`);
      this.end({ kind: "failed", error: failure });
    });
  };

  /**
   * Lives.
   *
   * @returns why it ended.
   * @throws {ConfigError} if the database can't be used as the options say.
   */
  async run(): Promise<Ending> {
    const { database } = this;
    database.failed.then((error) => this.end({ kind: "failed", error }));
    try {
      const finder = await this.#prepareSearch();
      while (this.#ending === null) {
        this.nodes.beginSession();
        this.packs.reset();
        const lost = new Promise<void>((resolve) => this.#masterLost = resolve);
        await finder.find(this.#leaving.signal);
        await lost;
        this.#leaveMaster();
      }
    } catch (error) {
      if (error instanceof DatabaseError) this.end({ kind: "failed", error });
      if (this.#ending === null) throw error;
    } finally {
      this.#leaveMaster();
    }
    return this.#ending ?? { kind: "stopped" };
  }

  /** Makes `run` return. Only the first reason counts. */
  end(ending: Ending): void {
    if (this.#ending !== null) return;
    this.#ending = ending;
    this.#leaving.abort(new Error("the node is leaving the cluster"));
    this.#masterLost();
  }

  // The primary master

  async #prepareSearch(): Promise<PrimaryFinder> {
    const { database } = this;
    const { cluster, masters, address, newNid } = this.#options;
    const devicePath = await database.devicePath();
    this.#saved = await database.loadPartitionTable();
    const ownPartitions = this.#saved?.cells.filter(({ nid }) => nid === database.nid)
      .map(({ partition }) => partition) ?? [];
    if (newNid && ownPartitions.length === 0) {
      throw new ConfigError("new-nid is for the copy of a database, and this database is empty");
    }
    return new PrimaryFinder({
      env: this.env,
      masters: () => masters.addresses,
      learn: (master) => masters.learn(master),
      identify: (): ArgsOf<"RequestIdentification"> => ({
        type: NodeType.STORAGE,
        nid: newNid ? null : this.#ownNid(),
        // A node without address is not to be used: it only wants an id.
        address: newNid ? null : address,
        cluster,
        idTimestamp: null,
        extra: new Map<string, readonly Uint8Array[] | readonly number[]>([
          ["devpath", devicePath.map((item) => new TextEncoder().encode(item))],
          ["new_nid", newNid ? ownPartitions : []],
        ]),
      }),
      accepted: (connection, answer) => this.#accepted(connection, answer),
      refused: ({ code }) => {
        this.#refused = code === ErrorCode.PROTOCOL_ERROR;
        return null;
      },
      closed: (reason) => {
        if (this.#ending === null) {
          const why = reason === null ? "" : `: ${errorText(reason)}`;
          this.env.log.warning(`the connection to the primary master is lost${why}`);
        }
        this.#loseMaster();
      },
    });
  }

  /**
   * The id to ask for. Without partition table, the one that was given before proves nothing: a master
   * that did not know the table either may have given that of another node. Masters forget a node without
   * cells, and give its id to others: it has to take another one then.
   */
  #ownNid(): Nid | null {
    const { nid, partitions } = this.database;
    if (partitions === 0) return this.#options.nid;
    return this.#refused && !this.#hasCells(nid) ? null : nid;
  }

  /** Whether the last table that this node knows gives cells to a storage. */
  #hasCells(nid: Nid | null): boolean {
    if (nid === null) return false;
    if (this.table.ptid !== null) return this.table.hasNode(nid);
    return this.#saved?.cells.some((cell) => cell.nid === nid) ?? false;
  }

  #accepted(connection: Connection, answer: AnswerArgsOf<"RequestIdentification">): Handler {
    const { yourNid: nid } = answer;
    if (nid === null || nodeTypeOf(nid) !== NodeType.STORAGE) {
      throw new Error(`the master gave ${nodeName(nid)} as id of a storage`);
    }
    // A master that does not know the table yet. To take that id would be to take those cells for one's own.
    if (!this.#options.newNid && nid !== this.database.nid && this.#hasCells(nid)) {
      throw new Error(`the master gave the id of ${nodeName(nid)}, which is another storage`);
    }
    this.env.log.info(`connected to the primary master ${connection} as ${nodeName(nid)}`);
    this.#nid = nid;
    this.#refused = false;
    this.#master = connection;
    this.env.log.identify(this.#options.cluster, nid);
    // Nothing that follows is handled before the node knows what it has.
    connection.pause();
    this.watch(this.#adopt(connection, nid).finally(() => connection.resume()));
    return new Starting(this, connection);
  }

  /** Saves the id and loads the partition table. */
  async #adopt(connection: Connection, nid: Nid): Promise<void> {
    const { database, table, nodes } = this;
    if (database.nid !== nid) await database.setNid(nid);
    const saved = await database.loadPartitionTable();
    // Lost meanwhile: the next one may have sent its table already.
    if (this.#master !== connection) return;
    if (saved === null) return table.clear();
    const rows: Cell[][] = Array.from({ length: database.partitions }, () => []);
    for (const { partition, nid, state } of saved.cells) {
      nodes.ensureStorage(nid);
      rows[partition]?.push({ nid, state });
    }
    table.load({ ptid: saved.ptid, replicas: saved.replicas, rows });
  }

  #loseMaster(): void {
    this.#leaveMaster();
    this.#masterLost();
  }

  #leaveMaster(): void {
    this.#leaveOperation();
    this.#master?.close();
    this.#master = null;
  }

  // What the master says

  startOperation(): void {
    const { env, database, nodes, table, nid, packs, repair, watch } = this;
    const { cluster, address } = this.#options;
    const master = this.#master;
    if (master === null) return;
    packs.operationBegins();
    if (database.backupTid !== null) this.watch(database.setBackupTid(null));
    const operation = new Operation({
      env,
      database,
      nodes,
      table,
      master,
      nid,
      cluster,
      address,
      packs,
      repair,
      watch,
    });
    this.operation = operation;
    master.handler = new Running(this, master, operation);
    master.notify("NotifyReady", {});
    operation.start();
    // Nothing of a client can be in there yet: the database executes it before what will come.
    this.watch(database.dropUnfinished());
    this.env.log.info("operational");
  }

  stopOperation(): void {
    this.#leaveOperation();
    if (this.#master !== null) this.#master.handler = new Starting(this, this.#master);
  }

  #leaveOperation(): void {
    const { operation } = this;
    if (operation !== null) {
      this.operation = null;
      operation.stop();
      this.env.log.info("not operational any more");
    }
    this.#options.closeConnections();
  }

  get masters(): KnownMasters {
    return this.#options.masters;
  }

  nodesChanged(): void {
    this.operation?.replicas.changed();
    this.#options.nodesChanged();
  }

  told({ state }: NodeDescription): void {
    if (state === NodeState.DOWN) {
      this.env.log.info("the master says that this node is down");
      this.end({ kind: "down" });
    } else if (state === NodeState.UNKNOWN) {
      this.env.log.warning("the master has removed this node from the cluster");
      this.end({ kind: "removed" });
    }
  }

  /** The state of the node, for those who watch over it. */
  measure(): NodeMeasures {
    const { clusterState: state, nodes, table, operation } = this;
    return {
      serving: operation !== null,
      cluster: this.#master === null ? null : { state, nodes, table },
      values: { databaseQueue: this.database.queuedBytes, ...operation?.measure() },
    };
  }

  /** Lines for logs. */
  *dump(): Iterable<string> {
    const state = this.clusterState === null ? "unknown" : ClusterState[this.clusterState];
    yield `node ${nodeName(this.#nid)}, master ${this.#master ?? "unknown"}, cluster ${state}, ` +
      (this.operation === null ? "not operational" : "operational");
    for (const node of this.nodes.list()) yield `node ${node}: ${NodeState[node.state]}`;
    const { ptid, replicas, partitions } = this.table;
    yield `partition table ${ptid}: ${partitions} partitions, ${replicas} replicas`;
    if (this.operation !== null) yield* this.operation.dump();
    yield `masters: ${this.masters.addresses.map(formatAddress).join(" ")}`;
  }
}
