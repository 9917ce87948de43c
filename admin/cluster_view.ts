/**
 * What the primary master tells an admin about its cluster.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Handlers } from "../network/handler.ts";
import type { Log } from "../network/log.ts";
import { NodeTable } from "../node/node_table.ts";
import { PartitionTable } from "../node/partition_table.ts";
import { ClusterState, NodeType } from "../protocol/enums.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import { type Address, formatAddress, type Nid } from "../protocol/nodes.ts";

/**
 * The cluster as seen through one connection to its primary master, from the identification to the loss
 * of that connection. It starts empty and is complete a few messages later, so that nothing can be left
 * of what a former primary told.
 */
export class ClusterView implements Handlers<MessagesOn<"M>A">> {
  readonly nodes = new NodeTable();
  readonly partitionTable = new PartitionTable();
  #state: ClusterState | null = null;
  readonly #log: Log;
  readonly #onMasters: () => void;
  readonly #onChange: () => void;

  /**
   * @param master the identified connection to the primary master.
   * @param primary its node id.
   * @param onMasters called when a master comes, changes or goes.
   * @param onChange called when anything may have changed.
   */
  constructor(
    readonly master: Connection,
    readonly primary: Nid,
    log: Log,
    onMasters: () => void,
    onChange: () => void,
  ) {
    this.#log = log;
    this.#onMasters = onMasters;
    this.#onChange = onChange;
  }

  /** State of the cluster, `null` until the primary told it. */
  get state(): ClusterState | null {
    return this.#state;
  }

  /** Asks what the primary does not tell by itself. */
  start(): void {
    this.master.request(
      "AskClusterState",
      {},
      ({ state }) => {
        this.#state = state;
        this.#onChange();
      },
      // The connection is lost already, or useless with a primary that does not answer this.
      () => this.master.close(),
    );
  }

  /** Addresses of all masters of the cluster. */
  masters(): Address[] {
    return [...this.nodes.list(NodeType.MASTER)].flatMap(({ address }) => address ?? []);
  }

  notifyClusterInformation({ state }: ArgsOf<"NotifyClusterInformation">): void {
    this.#state = state;
    this.#log.info(`cluster state is ${ClusterState[state]}`);
    this.#onChange();
  }

  notifyNodeInformation(args: ArgsOf<"NotifyNodeInformation">): void {
    const changes = this.nodes.update(
      args,
      ({ nid }) => nid !== null && this.partitionTable.hasNode(nid),
    );
    if (changes.some(({ node }) => node.type === NodeType.MASTER)) this.#onMasters();
    this.#onChange();
  }

  sendPartitionTable(args: ArgsOf<"SendPartitionTable">): void {
    this.partitionTable.load(args);
    for (const row of args.rows) for (const { nid } of row) this.nodes.ensureStorage(nid);
    this.#onChange();
  }

  notifyPartitionChanges(args: ArgsOf<"NotifyPartitionChanges">): void {
    this.partitionTable.change(args);
    for (const { nid } of args.cells) this.nodes.ensureStorage(nid);
    this.#onChange();
  }

  notifyUpstreamAdmin({ address }: ArgsOf<"NotifyUpstreamAdmin">): void {
    this.#log.warning(
      `the upstream cluster will not know how this backup cluster is: reporting to its admin ` +
        `(${formatAddress(address)}) is not supported yet`,
    );
  }
}
