/**
 * What storages send in operation.
 *
 * @module
 */

import { Refusal, type Request } from "../network/handler.ts";
import type { Node } from "../node/node_table.ts";
import { ErrorCode } from "../protocol/enums.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";
import type { Cluster } from "./cluster.ts";
import { IdleStorageHandler } from "./storage_handler.ts";

/** Handles the messages of a storage in operation. */
export class OperatingStorageHandler extends IdleStorageHandler {
  readonly #storage: Node;

  constructor(cluster: Cluster, storage: Node) {
    super(cluster);
    this.#storage = storage;
  }

  get #nid(): Nid {
    const { nid } = this.#storage;
    if (nid === null) throw new Refusal(ErrorCode.PROTOCOL_ERROR, "this node has no id");
    return nid;
  }

  #checkPartition(partition: number): void {
    if (partition < this.cluster.table.partitions) return;
    throw new Refusal(ErrorCode.PROTOCOL_ERROR, `there is no partition ${partition}`);
  }

  override notifyReady(): void {
    const { delayed, packs, readiness } = this.cluster;
    if (!readiness.ready(this.#nid)) return;
    const signed = packs.signed();
    if (signed !== null) this.#storage.connection?.notify("NotifyPackSigned", signed);
    delayed.kick();
  }

  override askUnfinishedTransactions(
    { partitions }: ArgsOf<"AskUnfinishedTransactions">,
    from: Request<"AskUnfinishedTransactions">,
  ): void {
    const { table, transactions } = this.cluster;
    for (const partition of partitions) this.#checkPartition(partition);
    const ttids = transactions.unfinished(this.#nid);
    from.answer({ lastTid: transactions.ids.lastTransaction, ttids });
    table.startReplication(this.#nid, partitions);
  }

  override notifyReplicationDone({ partition }: ArgsOf<"NotifyReplicationDone">): void {
    this.#checkPartition(partition);
    this.cluster.promotions.replicated(this.#nid, partition);
  }

  override notifyPartitionCorrupted(
    { partition, nids }: ArgsOf<"NotifyPartitionCorrupted">,
  ): void {
    this.#checkPartition(partition);
    const { checks, env, notifier } = this.cluster;
    const where = nids.length === 0
      ? "copies differ, and nobody can tell which one is right"
      : `corrupted in: ${nids.map(nodeName).join(", ")}`;
    env.log.error(`Partition ${partition} ${where}`);
    if (checks.packedSince(partition)) {
      env.log.warning("nothing follows from that, because of a pack that was ordered meanwhile");
    }
    notifier.changeTable(checks.corrupted(this.#nid, partition, nids));
  }

  override notifyPackCompleted({ id }: ArgsOf<"NotifyPackCompleted">): void {
    this.cluster.packs.completed(this.#nid, id);
  }

  override askPackOrders(
    { minId }: ArgsOf<"AskPackOrders">,
    from: Request<"AskPackOrders">,
  ): void {
    this.cluster.packs.answerStorage(minId, from);
  }
}
