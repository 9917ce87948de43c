/**
 * What the primary master knows of its cluster, shared by all its phases.
 *
 * @module
 */

import type { Environment } from "../network/environment.ts";
import { isOperational } from "../node/cluster_health.ts";
import type { NodeMeasures } from "../node/measures.ts";
import type { Node, NodeTable } from "../node/node_table.ts";
import { ClusterState, NodeState } from "../protocol/enums.ts";
import { hexId, type Tid } from "../protocol/ids.ts";
import { type Address, type Nid, nodeName } from "../protocol/nodes.ts";
import { DelayedRequests } from "./delayed.ts";
import { type Extra, NO_EXTRA } from "./extra.ts";
import { LeftBehind } from "./left_behind.ts";
import { Notifier } from "./notifications.ts";
import { PackOrders } from "./packs.ts";
import { MasterPartitionTable } from "./partition_table.ts";
import { Promotions } from "./promotions.ts";
import { Readiness } from "./readiness.ts";
import { ReplicaChecks } from "./replica_checks.ts";
import { TemporaryIds } from "./temporary_ids.ts";
import { TransactionManager } from "./transactions.ts";

/** How a master is configured. */
export interface MasterOptions {
  /** Name of the cluster. */
  readonly cluster: string;
  /** Address to listen to, which other nodes are told; port 0 for any free port. */
  readonly bind: Address;
  /** Addresses of all masters, with or without its own. */
  readonly masters: readonly Address[];
  /** Id it gives itself, `null` for the first one. */
  readonly nid: Nid | null;
  /** Number of partitions of a new cluster. */
  readonly partitions: number;
  /** Number of copies besides the first, for a new cluster. */
  readonly replicas: number;
  /** How many storages suffice to create a new cluster unasked; `null` to wait for an operator. */
  readonly autostart: number | null;
  /** Called with the addresses of all known masters whenever they change. */
  readonly saveMasters?: (masters: readonly Address[]) => void;
}

/** State of the cluster. */
export class Cluster {
  readonly table = new MasterPartitionTable();
  readonly readiness = new Readiness();
  readonly delayed = new DelayedRequests();
  readonly temporaryIds = new TemporaryIds();
  readonly leftBehind: LeftBehind;
  readonly packs: PackOrders;
  readonly checks: ReplicaChecks;
  readonly notifier: Notifier;
  readonly promotions: Promotions;
  readonly transactions: TransactionManager;
  state = ClusterState.RECOVERING;
  /**
   * Whether the cluster may start without nodes that could be running elsewhere: an operator said so,
   * or this master itself has seen them leave.
   */
  startupAllowed = false;
  /** Whether there is a partition table, be it unknown: no new one may take its place unasked. */
  exists = false;
  /** Transactions after this one are to be deleted by the next verification. */
  truncateTid: Tid | null = null;
  /**
   * Storages that are only known from the table, as long as they have not shown that they are the ones it
   * means. One that had no cells when this id was given to it may have been away while masters forgot
   * that, and gave the id to another one.
   */
  readonly unproven = new Set<Nid>();
  /** Storages that are removed, as soon as all have saved that: until then they are kept out. */
  readonly leaving = new Set<Nid>();
  readonly #extras = new WeakMap<Node, Extra>();

  /**
   * @param nodes those known at the beginning: masters.
   * @param self this master.
   */
  constructor(
    readonly env: Environment,
    readonly options: MasterOptions,
    readonly nodes: NodeTable,
    readonly self: Node,
  ) {
    const { table } = this;
    table.reset(options.partitions, options.replicas);
    this.leftBehind = new LeftBehind(env.log);
    this.packs = new PackOrders({ nodes, table });
    this.checks = new ReplicaChecks(this);
    this.notifier = new Notifier(env, nodes, table, this.extraOf);
    this.promotions = new Promotions(this);
    this.transactions = new TransactionManager(this);
  }

  /** Whether a node takes part in operation. */
  readonly running = (nid: Nid): boolean => this.nodes.get(nid)?.state === NodeState.RUNNING;

  /** What a node told about itself. */
  readonly extraOf = (node: Node): Extra => this.#extras.get(node) ?? NO_EXTRA;

  setExtra(node: Node, extra: Extra): void {
    this.#extras.set(node, extra);
  }

  /** The state of the node, for those who watch over it. */
  measure(): NodeMeasures {
    const { state, nodes, table } = this;
    return {
      serving: isOperational(state),
      cluster: { state, nodes, table },
      values: { transactions: this.transactions.size, waitingRequests: this.delayed.size },
    };
  }

  /** A description for people who look for what goes wrong. */
  dump(): string {
    const { ptid, replicas, rows } = this.table;
    const nodes = [...this.nodes.list()].map((node) => {
      const connection = node.connection === null ? "" : ", connected";
      return `  ${node} ${NodeState[node.state]}${connection}`;
    });
    const cells = rows.map((row, partition) =>
      `  ${partition}: ${row.map(({ nid, state }) => `${nodeName(nid)}:${CELL[state]}`).join(" ")}`
    );
    return [
      `cluster ${this.options.cluster}, ${ClusterState[this.state]}`,
      `start allowed: ${this.startupAllowed}, truncate: ${
        this.truncateTid === null ? "no" : hexId(this.truncateTid)
      }`,
      "nodes:",
      ...nodes,
      `partition table ${ptid}, ${replicas} replicas:`,
      ...cells,
      `all storages know of all copies: ${this.promotions.known ? "yes" : "no"}`,
      `storages: ${this.readiness}`,
      `transactions: ${this.transactions}`,
      `delayed requests: ${this.delayed.size}`,
    ].join("\n");
  }
}

/** One letter for each state of cells. */
const CELL = ["O", "U", "F", "C", "D"] as const;
