/**
 * Service: clients commit. Also what remains of it while the cluster stops.
 *
 * @module
 */

import { Refusal } from "../network/handler.ts";
import type { Node } from "../node/node_table.ts";
import { ClusterState, ErrorCode, NodeState } from "../protocol/enums.ts";
import type { Nid } from "../protocol/nodes.ts";
import { ClientHandler, ReadOnlyClientHandler } from "./client_handlers.ts";
import type { Cluster } from "./cluster.ts";
import { hasCell, notOwner } from "./older_tables.ts";
import type { Lifecycle, Phase } from "./phase.ts";
import { OperatingStorageHandler } from "./operating_storage_handler.ts";
import { startStorage } from "./storage_start.ts";
import { announceLoss } from "./storage_loss.ts";

/** What the phases with transactions have in common. */
abstract class Operation implements Phase {
  abstract readonly state: ClusterState;

  constructor(protected readonly cluster: Cluster, protected readonly lifecycle: Lifecycle) {}

  abstract enter(): void;
  abstract admitStorage(nid: Nid | null, member: boolean): NodeState;
  abstract admitClone(): void;
  abstract admitClient(nid: Nid | null): void;
  abstract storageJoined(storage: Node): void;
  /** Some partition has no copy left. */
  protected abstract stopped(): void;

  storageHandler(storage: Node): OperatingStorageHandler {
    return new OperatingStorageHandler(this.cluster, storage);
  }

  clientHandler(client: Node): ClientHandler {
    const { readOnly, backup } = this.cluster.extraOf(client);
    return readOnly ?? backup.length > 0
      ? new ReadOnlyClientHandler(this.cluster, client)
      : new ClientHandler(this.cluster, client);
  }

  storageLost(storage: Node, nid: Nid | null): void {
    const { delayed, packs, readiness, transactions } = this.cluster;
    // Until others know that its cells are out of date, nothing may be acknowledged without it. If
    // there is no copy left, verification will decide.
    if (!announceLoss(this.cluster, storage)) return this.stopped();
    if (nid === null) return;
    readiness.remove(nid);
    delayed.kick();
    transactions.storageLost(nid);
    packs.storageLost(nid);
  }

  /** Welcome. */
  admitMaster(): void {}

  clientLost(client: Node): void {
    this.cluster.transactions.clientLost(client);
  }
}

/** The normal phase of a cluster. */
export class Service extends Operation {
  readonly state = ClusterState.RUNNING;

  enter(): void {
    const { notifier, table, transactions } = this.cluster;
    transactions.open();
    notifier.changeState(this.state, (storage) => startStorage(this.cluster, storage));
    // What was about to be discarded when operation stopped.
    notifier.changeTable(table.surplus(table.rows.keys()));
  }

  admitStorage(nid: Nid | null, member: boolean): NodeState {
    return member && !this.#isDoubtful(nid) ? NodeState.RUNNING : NodeState.PENDING;
  }

  /** Welcome: its cells replicate what the copied database lacks, once it is started with its id. */
  admitClone(): void {}

  /** Welcome. */
  admitClient(): void {}

  storageJoined(storage: Node): void {
    if (this.#isDoubtful(storage.nid)) {
      this.cluster.notifier.withholdTable(storage);
      this.#examine(storage);
      return;
    }
    this.cluster.notifier.sendTable(storage);
    startStorage(this.cluster, storage);
  }

  /** Whether a storage has to tell what it has saved before it may join. */
  #isDoubtful(nid: Nid | null): boolean {
    return this.cluster.leftBehind.has(nid) || nid !== null && this.cluster.unproven.has(nid);
  }

  /** Lets a storage join if it has not been elsewhere, and the cells of its id are its own. */
  async #examine(storage: Node): Promise<void> {
    const { connection, nid } = storage;
    const { env, leftBehind, notifier, table, temporaryIds, unproven } = this.cluster;
    if (connection === null || nid === null) return;
    const isStill = () => storage.connection === connection && this.lifecycle.phase === this;
    try {
      const { ptid } = await connection.ask("AskRecovery", {});
      if (!isStill()) return;
      if (!leftBehind.admits(nid, ptid)) return connection.close();
      if (unproven.has(nid) && ptid !== null && ptid < (table.ptid ?? 0)) {
        const older = await connection.ask("AskPartitionTable", {});
        if (!isStill()) return;
        if (!hasCell(older, nid)) {
          env.log.warning(notOwner(storage));
          return temporaryIds.displace(storage);
        }
      }
    } catch {
      return connection.close();
    }
    unproven.delete(nid);
    if (table.hasMember(nid)) {
      storage.state = NodeState.RUNNING;
      notifier.changeNodes(storage);
    }
    this.storageJoined(storage);
  }

  protected stopped(): void {
    this.lifecycle.recover(null);
  }
}

/**
 * The orderly stop: transactions in progress end, no other begins. Storages are then told to exit
 * without any change of the table, so that nothing has to be replicated at the next start.
 */
export class Stopping extends Operation {
  readonly state = ClusterState.STOPPING;
  /** Whether there are transactions to wait for. */
  readonly #operating: boolean;

  constructor(cluster: Cluster, lifecycle: Lifecycle, operating: boolean) {
    super(cluster, lifecycle);
    this.#operating = operating;
  }

  enter(): void {
    this.cluster.notifier.changeState(this.state);
    this.cluster.readiness.block();
    const { transactions } = this.cluster;
    transactions.onIdle = () => this.lifecycle.end();
    if (!this.#operating || transactions.size === 0) this.lifecycle.end();
  }

  admitStorage(): never {
    throw new Refusal(ErrorCode.NOT_READY, "the cluster is stopping");
  }

  admitClone(): never {
    throw new Refusal(ErrorCode.NOT_READY, "the cluster is stopping");
  }

  /** Only those who may still ask what became of a transaction. */
  admitClient(nid: Nid | null): void {
    if (nid !== null && this.cluster.transactions.hasOrphanOf(nid)) return;
    throw new Refusal(ErrorCode.NOT_READY, "the cluster is stopping");
  }

  storageJoined(): void {}

  protected stopped(): void {
    this.lifecycle.end();
  }
}
