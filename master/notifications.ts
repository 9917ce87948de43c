/**
 * Who is told about what.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import type { Node, NodeTable } from "../node/node_table.ts";
import type { CellChange } from "../node/partition_table.ts";
import { ClusterState, NodeState, NodeType } from "../protocol/enums.ts";
import type { ArgsOf, SentName } from "../protocol/messages.ts";
import type { Nid, NodeDescription } from "../protocol/nodes.ts";
import type { Extra } from "./extra.ts";
import type { MasterPartitionTable } from "./partition_table.ts";

/** What is announced about a node. */
export interface Announcement {
  readonly description: NodeDescription;
  /** Names of the backup clusters that an admin monitors. */
  readonly monitored: readonly string[];
}

type TableChanges = ArgsOf<"NotifyPartitionChanges">;

/** Those who follow the partition table. */
const TABLE_READERS = [NodeType.STORAGE, NodeType.CLIENT, NodeType.ADMIN];

/** Tells all nodes about changes of the cluster. */
export class Notifier {
  readonly #env: Environment;
  readonly #nodes: NodeTable;
  readonly #table: MasterPartitionTable;
  readonly #extraOf: (node: Node) => Extra;
  /** Storages that do not follow the table yet: they will get it whole. */
  readonly #waiting = new WeakSet<Connection>();
  /** Changes of the table that admins are not told yet. */
  #untold: { readonly admins: readonly Connection[]; readonly changes: TableChanges }[] = [];
  #previous = 0;

  constructor(
    env: Environment,
    nodes: NodeTable,
    table: MasterPartitionTable,
    extraOf: (node: Node) => Extra,
  ) {
    this.#env = env;
    this.#nodes = nodes;
    this.#table = table;
    this.#extraOf = extraOf;
  }

  /** The time, which strictly increases whatever the clock does: nodes discard old notifications. */
  now(): number {
    this.#previous = Math.max(this.#env.now(), this.#previous + 0.001);
    return this.#previous;
  }

  /** The identified nodes, or those of some types. */
  identified(...types: NodeType[]): Node[] {
    return [...this.#nodes.list()].filter(({ connection, type }) =>
      connection !== null && (types.length === 0 || types.includes(type))
    );
  }

  /** Sends a notification to all identified nodes of some types. */
  send<N extends SentName>(types: NodeType[], name: N, args: ArgsOf<N>): void {
    for (const { connection } of this.identified(...types)) connection?.notify(name, args);
  }

  /** What is announced about a node as it is now; take it before the node is forgotten. */
  announcement(node: Node, state: NodeState = node.state): Announcement {
    return {
      description: { ...node.describe(), state },
      monitored: node.type === NodeType.ADMIN ? this.#extraOf(node).backup : [],
    };
  }

  /** Tells a node about all nodes, itself first. */
  welcome(node: Node): void {
    const others = [...this.#nodes.list()]
      .filter((other) => other !== node && this.#sees(node, this.announcement(other)))
      .map((other) => other.describe());
    const nodes = [node.describe(), ...others];
    node.connection?.notify("NotifyNodeInformation", { timestamp: this.now(), nodes });
  }

  /** Tells everybody that nodes changed, or were added. */
  changeNodes(...nodes: Node[]): void {
    this.announce(nodes.map((node) => this.announcement(node)));
  }

  /** Tells those concerned about changed nodes. */
  announce(changes: readonly Announcement[]): void {
    if (changes.length === 0) return;
    const timestamp = this.now();
    for (const receiver of this.identified()) {
      const nodes = changes.filter((change) => this.#sees(receiver, change))
        .map(({ description }) => description);
      if (nodes.length > 0) {
        receiver.connection?.notify("NotifyNodeInformation", { timestamp, nodes });
      }
    }
  }

  /** Tells a node only about its own state. */
  tellState(node: Node, state: NodeState, idTimestamp: number | null = node.idTimestamp): void {
    this.tell(node.connection, { ...node.describe(), state, idTimestamp });
  }

  /** Tells whoever is connected about one node. */
  tell(connection: Connection | null, description: NodeDescription): void {
    connection?.notify("NotifyNodeInformation", { timestamp: this.now(), nodes: [description] });
  }

  /** Whether a kind of node is of interest to a receiver. */
  #sees(receiver: Node, { description: { type }, monitored }: Announcement): boolean {
    switch (receiver.type) {
      case NodeType.ADMIN:
      case NodeType.STORAGE:
        return type !== NodeType.ADMIN;
      case NodeType.CLIENT:
        if (type === NodeType.CLIENT) return false;
        if (type !== NodeType.ADMIN) return true;
        return this.#extraOf(receiver).backup.some((name) => monitored.includes(name));
      case NodeType.MASTER:
        return type === NodeType.MASTER;
    }
  }

  /** Applies changes of cells as the next version of the table, and tells these types of nodes. */
  changeTable(
    cells: readonly CellChange[],
    types = TABLE_READERS,
  ): void {
    if (cells.length > 0) this.#changeTable(cells, this.#table.replicas, types);
  }

  /**
   * The same, but that admins are only told by {@linkcode tellAdmins}, or before what comes next: operators
   * are not to rely on it yet.
   */
  changeTableQuietly(cells: readonly CellChange[]): void {
    const admins = this.identified(NodeType.ADMIN).flatMap(({ connection }) => connection ?? []);
    const changes = this.#apply(cells, this.#table.replicas, [NodeType.STORAGE, NodeType.CLIENT]);
    if (changes !== null && admins.length > 0) this.#untold.push({ admins, changes });
  }

  /** Tells admins what they were not told yet. */
  tellAdmins(): void {
    const untold = this.#untold;
    this.#untold = [];
    for (const { admins, changes } of untold) {
      for (const admin of admins) admin.notify("NotifyPartitionChanges", changes);
    }
  }

  /** Sets the wanted number of replicas, as the next version of the table, and tells all nodes. */
  changeReplicas(replicas: number): void {
    this.#changeTable([], replicas, TABLE_READERS);
  }

  #changeTable(cells: readonly CellChange[], replicas: number, types: NodeType[]): void {
    this.tellAdmins();
    this.#apply(cells, replicas, types);
  }

  #apply(cells: readonly CellChange[], replicas: number, types: NodeType[]): TableChanges | null {
    const { ptid } = this.#table;
    if (ptid === null) return null;
    const changes = { ptid: ptid + 1, replicas, cells };
    this.#table.change(changes);
    for (const { connection } of this.identified(...types)) {
      if (connection === null || this.#waiting.has(connection)) continue;
      connection.notify("NotifyPartitionChanges", changes);
    }
    return changes;
  }

  /**
   * Waits until storages, or those with some ids, have saved the table.
   *
   * @returns the ids of those that have; others are lost.
   */
  async saved(nids: ReadonlySet<Nid> | null = null): Promise<Set<Nid>> {
    const saved = new Set<Nid>();
    const ask = async ({ connection, nid }: Node) => {
      if (connection === null || nid === null || nids?.has(nid) === false) return;
      // They save the table before they handle what follows.
      await connection.ask("Ping", {}).then(() => saved.add(nid), () => {});
    };
    await Promise.all(this.identified(NodeType.STORAGE).map(ask));
    return saved;
  }

  /** Does not tell a storage about changes of the table until it gets the whole table. */
  withholdTable({ connection }: Node): void {
    if (connection !== null) this.#waiting.add(connection);
  }

  /** Sends the whole table to some nodes. */
  sendTable(...receivers: Node[]): void {
    this.tellAdmins();
    const { ptid, replicas, rows } = this.#table;
    for (const { connection } of receivers) {
      if (connection === null) continue;
      this.#waiting.delete(connection);
      connection.notify("SendPartitionTable", { ptid, replicas, rows });
    }
  }

  /** Tells all nodes the state of the cluster, each followed by what comes next for it. */
  changeState(state: ClusterState, next: (storage: Node) => void = () => {}): void {
    this.#env.log.info(`cluster state: ${ClusterState[state]}`);
    for (const node of this.identified()) {
      node.connection?.notify("NotifyClusterInformation", { state });
      if (node.type === NodeType.STORAGE) next(node);
    }
  }
}
