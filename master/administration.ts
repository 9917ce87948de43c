/**
 * What operators ask for, through admin nodes.
 *
 * @module
 */

import type { Command, Handlers, Request } from "../network/handler.ts";
import type { Node } from "../node/node_table.ts";
import type { CellChange } from "../node/partition_table.ts";
import { ClusterState, ErrorCode, NodeState, NodeType } from "../protocol/enums.ts";
import { hexId } from "../protocol/ids.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";
import type { Cluster } from "./cluster.ts";
import type { Lifecycle } from "./phase.ts";
import { QueryHandler } from "./queries.ts";
import { Recovery } from "./recovery.ts";
import { addPendingNodes, denied, setReplicas, tweakTable } from "./table_commands.ts";
import { IdleStorageHandler } from "./storage_handler.ts";
import { Verification } from "./verification.ts";

/** Handles the messages of an admin. */
export class AdminHandler extends QueryHandler
  implements Handlers<MessagesOn<"A>M" | "*>M"> | "FlushLog"> {
  readonly #lifecycle: Lifecycle;
  readonly #admin: Node;

  constructor(cluster: Cluster, lifecycle: Lifecycle, admin: Node) {
    super(cluster);
    this.#lifecycle = lifecycle;
    this.#admin = admin;
  }

  setClusterState({ state }: ArgsOf<"SetClusterState">, from: Command): void {
    const { phase } = this.#lifecycle;
    switch (state) {
      case ClusterState.VERIFYING:
        if (!(phase instanceof Recovery)) throw denied("Can not switch to this state");
        phase.start();
        from.error(ErrorCode.ACK, "Cluster state changed");
        phase.evaluate();
        break;
      case ClusterState.STOPPING:
        from.error(ErrorCode.ACK, "Cluster state changed");
        this.#lifecycle.stop();
        break;
      case ClusterState.STARTING_BACKUP:
        this.#checkBackup();
        throw denied("No upstream cluster to backup defined in configuration");
      case ClusterState.STOPPING_BACKUP:
        throw denied("Can not switch to this state");
      default:
        throw denied("Invalid state requested");
    }
  }

  /** @throws {Refusal} if the cluster can't become a backup, were there something to back up. */
  #checkBackup(): void {
    const { notifier, transactions } = this.cluster;
    if (this.#lifecycle.phase.state !== ClusterState.RUNNING) {
      throw denied("Can not switch to this state");
    }
    if (transactions.size > 0 || notifier.identified(NodeType.CLIENT).length > 0) {
      throw denied(
        "Can not switch to STARTING_BACKUP state with pending transactions or connected clients",
      );
    }
  }

  setNodeState({ nid, state }: ArgsOf<"SetNodeState">, from: Command): void {
    const node = this.cluster.nodes.get(nid);
    if (node === undefined) throw denied(`unknown node ${nodeName(nid)}`);
    const { phase } = this.#lifecycle;
    if (node.type === NodeType.MASTER && state === NodeState.DOWN) {
      return this.#killMaster(node, from);
    }
    if (node.type !== NodeType.STORAGE) {
      throw denied(`can not switch node to ${NodeState[state]} state`);
    }
    if (phase instanceof Verification) {
      throw denied("the cluster is verifying its last transactions: try again later");
    }
    if (state === NodeState.DOWN) this.#kill(node, from);
    else if (state === NodeState.UNKNOWN) this.#drop(node, from);
    else throw denied(`can not switch node to ${NodeState[state]} state`);
    if (phase instanceof Recovery) phase.evaluate();
  }

  /** Stops a secondary master: it exits when it is told its state. */
  #killMaster(node: Node, from: Command): void {
    if (node === this.cluster.self) throw denied("can not kill primary master node");
    if (node.state === NodeState.DOWN) {
      from.error(ErrorCode.ACK, "node already in DOWN state");
      return;
    }
    node.state = NodeState.DOWN;
    from.error(ErrorCode.ACK, "state changed");
    this.cluster.notifier.changeNodes(node);
  }

  /** Stops a storage: it exits, and its cells are out of date. */
  #kill(node: Node, from: Command): void {
    const { notifier, promotions, running, table } = this.cluster;
    if (node.state === NodeState.DOWN) {
      from.error(ErrorCode.ACK, "node already in DOWN state");
      return;
    }
    // During recovery no storage runs yet, so that all cells would seem to be out of date.
    const recovering = this.#lifecycle.phase instanceof Recovery;
    if (!recovering) this.#checkDrop(node);
    if (node.nid !== null && promotions.mayDecide(node.nid)) {
      // If it started alone after a failure of everything, what is committed without it would be lost.
      throw denied(
        `${
          nodeName(node.nid)
        } has not saved yet that others have its data: try again later. If it can't, ` +
          "stop its process, and order the start without it",
      );
    }
    node.state = NodeState.DOWN;
    if (node.nid !== null) promotions.storageLost(node.nid);
    notifier.tellState(node, NodeState.DOWN);
    node.connection?.abort();
    if (!recovering) notifier.changeTable(table.outdate(running));
    from.error(ErrorCode.ACK, "state changed");
    notifier.changeNodes(node);
  }

  /** Removes a storage for ever: if it is connected, it erases its database. */
  #drop(node: Node, from: Command): void {
    const { leaving, nodes, notifier, table, unproven } = this.cluster;
    const { nid: id } = node;
    if (node.state === NodeState.RUNNING) {
      throw denied("a running node must be stopped before removal");
    }
    const { phase } = this.#lifecycle;
    if (phase instanceof Recovery && phase.mayHaveCells(node)) {
      throw denied("the partition table is not known yet: try again later");
    }
    const changes = this.#checkDrop(node);
    if (changes.length > 0) {
      this.#checkWitnesses(node);
      if (phase instanceof Recovery && !phase.knowsLastTable(node)) {
        throw denied("storages that may know a later partition table are missing: try again later");
      }
    }
    const { connection } = node;
    node.connection = null;
    this.#changeTable(changes);
    if (id !== null) {
      table.removeMembers([id]);
      unproven.delete(id);
    }
    node.state = NodeState.UNKNOWN;
    const announcement = notifier.announcement(node);
    nodes.remove(node);
    notifier.announce([announcement]);
    const remove = () => {
      notifier.tell(connection, announcement.description);
      connection?.abort();
    };
    if (changes.length === 0) {
      from.error(ErrorCode.ACK, "state changed");
      remove();
    } else {
      // If power failed before that, the others would wait for its data.
      if (id !== null) leaving.add(id);
      notifier.saved().then((saved) => {
        if (id !== null) leaving.delete(id);
        if (!table.operational((nid) => saved.has(nid))) {
          connection?.abort();
          const text =
            "storages were lost before they had saved that: see whether it has to be repeated";
          return from.error(ErrorCode.DENIED, text);
        }
        from.error(ErrorCode.ACK, "node permanently removed");
        remove();
      });
    }
    if (connection === null) return;
    connection.handler = new IdleStorageHandler(this.cluster);
    // Nobody knows any more whose connection it is when it closes.
    this.#lifecycle.phase.storageLost(node, id);
  }

  /** During recovery, storages may not have the version that the changes follow: they get it whole. */
  #changeTable(changes: readonly CellChange[]): void {
    const { notifier } = this.cluster;
    const { phase } = this.#lifecycle;
    if (!(phase instanceof Recovery)) return notifier.changeTable(changes);
    if (changes.length === 0) return;
    notifier.changeTable(changes, [NodeType.ADMIN]);
    phase.tableChanged();
    notifier.sendTable(...notifier.identified(NodeType.STORAGE));
  }

  /** The changes of the table if a storage is dropped. @throws {Refusal} if data would be lost. */
  #checkDrop({ nid }: Node) {
    const changes = this.cluster.table.dropNodes(new Set(nid === null ? [] : [nid]));
    if (Array.isArray(changes)) return changes;
    throw denied(
      "Refuse to drop nodes that contain the only readable copies of partition " +
        changes.partition,
    );
  }

  /**
   * A table that is not saved by those who decide about it is forgotten.
   *
   * @throws {Refusal} if not all partitions can be read from storages that are connected.
   */
  #checkWitnesses(dropped: Node): void {
    const { nodes, table } = this.cluster;
    const connected = (nid: Nid) =>
      nid !== dropped.nid && (nodes.get(nid)?.connection ?? null) !== null;
    if (table.operational(connected)) return;
    throw denied("the storages that have the other copies are not all connected");
  }

  flushLog(_args: unknown, _from: unknown): void {
    this.cluster.env.log.flush();
    for (const node of this.cluster.notifier.identified()) {
      if (node !== this.#admin) node.connection?.notify("FlushLog", {});
    }
  }

  addPendingNodes({ nids }: ArgsOf<"AddPendingNodes">, from: Command): void {
    this.#requireService("addPendingNodes");
    from.error(ErrorCode.ACK, addPendingNodes(this.cluster, nids));
  }

  tweakPartitionTable(
    args: ArgsOf<"TweakPartitionTable">,
    from: Request<"TweakPartitionTable">,
  ): void {
    this.#requireService("tweakPartitionTable");
    from.answer(tweakTable(this.cluster, args));
  }

  setNumReplicas({ replicas }: ArgsOf<"SetNumReplicas">, from: Command): void {
    this.#requireService("setNumReplicas");
    setReplicas(this.cluster, replicas);
    from.error(ErrorCode.ACK);
  }

  truncate({ tid }: ArgsOf<"Truncate">, from: Command): void {
    this.#requireService("truncate");
    const { env, packs, transactions: { ids } } = this.cluster;
    if (tid >= ids.lastTransaction) {
      throw denied("Truncating after last transaction does nothing");
    }
    if (tid < ids.firstTid) {
      throw denied(
        "Truncating before first transaction is probably not what you intended to do",
      );
    }
    if (packs.approvedAfter(tid)) throw denied("Can not truncate before an approved pack");
    env.log.warning(`everything after ${hexId(tid)} is going to be deleted`);
    from.error(ErrorCode.ACK);
    this.#lifecycle.recover(tid);
  }

  repair({ nids, dryRun }: ArgsOf<"Repair">, from: Command): void {
    const storages = [...new Set(nids)].map((nid) => {
      const node = this.cluster.nodes.get(nid);
      if (node?.type === NodeType.STORAGE && node.connection !== null) return node;
      throw denied(`invalid storage node ${nodeName(nid)}`);
    });
    for (const { connection } of storages) connection?.notify("NotifyRepair", { dryRun });
    from.error(ErrorCode.ACK);
  }

  checkReplicas(args: ArgsOf<"CheckReplicas">, from: Command): void {
    this.#requireService("checkReplicas");
    const { checks, transactions: { ids } } = this.cluster;
    checks.order(args, ids.lastTransaction);
    from.error(ErrorCode.ACK);
  }

  /** @throws {Refusal} unless clients are served. */
  #requireService(name: string): void {
    const { state } = this.#lifecycle.phase;
    if (state === ClusterState.RUNNING) return;
    throw denied(`${name} RPC can not be used in ${ClusterState[state]} state`);
  }
}
