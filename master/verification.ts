/**
 * Verification: transactions whose end was decided, or may have been, are finished; last ids are
 * learnt, which also makes storages truncate if they have to.
 *
 * @module
 */

import { type ConnectionClosed, ErrorAnswer, Refusal } from "../network/handler.ts";
import type { Node } from "../node/node_table.ts";
import { ClusterState, ErrorCode, NodeState, NodeType } from "../protocol/enums.ts";
import {
  add64,
  hexId,
  MAX_TID,
  type Oid,
  partitionOf,
  type Tid,
  ZERO_OID,
  ZERO_TID,
} from "../protocol/ids.ts";
import type { AnswerArgsOf, RequestName } from "../protocol/messages.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { Cluster } from "./cluster.ts";
import type { Lifecycle, Phase } from "./phase.ts";
import { IdleStorageHandler } from "./storage_handler.ts";
import { announceLoss } from "./storage_loss.ts";

/** A question asked to several storages at once. */
interface Poll {
  readonly waiting: Set<Node>;
  readonly done: () => void;
}

/** The phase between recovery and service. */
export class Verification implements Phase {
  readonly state = ClusterState.VERIFYING;
  readonly #cluster: Cluster;
  readonly #lifecycle: Lifecycle;
  #poll: Poll | null = null;
  /** Storages that have the data of a transaction that was voted. */
  readonly #voted = new Map<Tid, Set<Node>>();
  /** The final tid of transactions that some storage locked, or finished. */
  readonly #locked = new Map<Tid, Tid>();

  constructor(cluster: Cluster, lifecycle: Lifecycle) {
    this.#cluster = cluster;
    this.#lifecycle = lifecycle;
  }

  enter(): void {
    const { notifier, temporaryIds, transactions } = this.#cluster;
    temporaryIds.confirm();
    transactions.reset();
    notifier.changeState(this.state, (storage) => notifier.sendTable(storage));
    const readable = this.#readable();
    this.#ask(
      readable,
      "AskLockedTransactions",
      {},
      (storage, { transactions }) => this.#collect(storage, transactions),
      () => this.#search(this.#voted.keys().filter((ttid) => !this.#locked.has(ttid))),
    );
  }

  storageHandler(storage: Node): VerifyingStorageHandler {
    return new VerifyingStorageHandler(this.#cluster, storage);
  }

  clientHandler(): never {
    return this.admitClient();
  }

  /** Welcome. */
  admitMaster(): void {}

  admitStorage(nid: Nid | null, member: boolean): NodeState {
    const { leftBehind, unproven } = this.#cluster;
    // It is to be examined first.
    if (leftBehind.has(nid) || nid !== null && unproven.has(nid)) {
      throw new Refusal(ErrorCode.NOT_READY, "the cluster is verifying its last transactions");
    }
    return member ? NodeState.RUNNING : NodeState.PENDING;
  }

  admitClone(): never {
    throw new Refusal(ErrorCode.NOT_READY, "the cluster is verifying its last transactions");
  }

  admitClient(): never {
    throw new Refusal(ErrorCode.NOT_READY, "the cluster is verifying its last transactions");
  }

  clientLost(): void {}

  storageJoined(storage: Node): void {
    this.#cluster.notifier.sendTable(storage);
  }

  storageLost(storage: Node, nid: Nid | null): void {
    if (!announceLoss(this.#cluster, storage)) return this.#lifecycle.recover(null);
    if (nid !== null) this.#cluster.packs.storageLost(nid);
    for (const voters of this.#voted.values()) voters.delete(storage);
    this.#answered(storage);
  }

  /** The storages with readable cells, sorted by id. */
  #readable(): Node[] {
    const { nodes, table } = this.#cluster;
    return [...table.readableNodes()].sort((a, b) => a - b).map((nid) => nodes.get(nid))
      .filter((node) => node !== undefined).filter((node) => node.connection !== null);
  }

  /** Asks storages, and goes on when all have answered or are lost. */
  #ask<N extends RequestName>(
    storages: readonly Node[],
    name: N,
    args: ArgsOf<N>,
    onAnswer: (storage: Node, answer: AnswerArgsOf<N>) => void,
    done: () => void,
  ): void {
    this.#poll = { waiting: new Set(storages), done };
    if (storages.length === 0) return this.#finishPoll();
    for (const storage of storages) {
      storage.connection?.request(name, args, (answer) => {
        if (this.#lifecycle.phase !== this) return;
        onAnswer(storage, answer);
        this.#answered(storage);
      }, (error) => this.#failed(storage, error));
    }
  }

  #answered(storage: Node): void {
    if (this.#poll?.waiting.delete(storage) && this.#poll.waiting.size === 0) this.#finishPoll();
  }

  #finishPoll(): void {
    const done = this.#poll?.done;
    this.#poll = null;
    done?.();
  }

  #failed(storage: Node, error: ErrorAnswer | ConnectionClosed): void {
    // Otherwise it is lost: `storageLost` goes on when the table is up to date.
    if (!(error instanceof ErrorAnswer)) return;
    this.#cluster.env.log.error(`${storage} can't be verified: ${error.message}`);
    storage.connection?.close();
  }

  // 1. Transactions

  #collect(storage: Node, transactions: ReadonlyMap<Tid, Tid | null>): void {
    for (const [ttid, tid] of transactions) {
      this.#cluster.transactions.known(ttid);
      const voters = this.#voted.get(ttid) ?? new Set();
      this.#voted.set(ttid, voters.add(storage));
      if (tid !== null && this.#decides(storage, ttid)) this.#learnTid(ttid, tid);
    }
  }

  /**
   * Whether a storage has a readable cell for the metadata of a transaction. Only those know what the
   * cluster decided: the others may have locked what was dropped since without them. What is finished
   * is locked on all of them.
   */
  #decides({ nid }: Node, ttid: Tid): boolean {
    const { table } = this.#cluster;
    return table.readableCells(partitionOf(ttid, table.partitions)).some((cell) =>
      cell.nid === nid
    );
  }

  #learnTid(ttid: Tid, tid: Tid): void {
    const known = this.#locked.get(ttid);
    if (known !== undefined && known !== tid) {
      this.#cluster.env.log.error(
        `storages disagree about transaction ${hexId(ttid)}: ${hexId(known)} or ${hexId(tid)}`,
      );
    } else this.#locked.set(ttid, tid);
  }

  /**
   * Looks for the final tid of transactions that were voted, and that nobody holds locked: a node that
   * had the metadata may already have finished them.
   */
  #search(ttids: Iterator<Tid>): void {
    for (;;) {
      const { done, value: ttid } = ttids.next();
      if (done) return this.#validate();
      const asked = new Set(this.#voted.get(ttid));
      const askNext = (): boolean => {
        const storage = this.#witness(ttid, asked);
        if (storage === null) return false;
        asked.add(storage);
        this.#ask([storage], "AskFinalTID", { ttid }, (_, { tid }) => {
          if (tid !== null) this.#learnTid(ttid, tid);
        }, () => {
          if (this.#locked.has(ttid) || !askNext()) this.#search(ttids);
        });
        return true;
      };
      if (askNext()) return;
    }
  }

  /** A storage that knows what became of a transaction. Others may have been lost a moment ago. */
  #witness(ttid: Tid, asked: ReadonlySet<Node>): Node | null {
    const { nodes, table } = this.#cluster;
    return table.readableCells(partitionOf(ttid, table.partitions))
      .map(({ nid }) => nodes.get(nid)).filter((node) => node !== undefined)
      .find((node) => node.connection !== null && !asked.has(node)) ?? null;
  }

  #validate(): void {
    const { env, notifier } = this.#cluster;
    const locked = [...this.#locked].sort(([, a], [, b]) => a < b ? -1 : a > b ? 1 : 0);
    for (const [ttid, tid] of locked) {
      env.log.info(`transaction ${hexId(ttid)} is finished as ${hexId(tid)}`);
      for (const storage of this.#voted.get(ttid) ?? []) {
        storage.connection?.notify("ValidateTransaction", { ttid, tid });
      }
    }
    // The order of messages makes storages validate before they answer this.
    this.#askLastIds(notifier.identified(NodeType.STORAGE));
  }

  // 2. Last ids

  #askLastIds(storages: readonly Node[]): void {
    let last: Tid = ZERO_TID;
    let oid: Oid = ZERO_OID;
    let first: Tid = MAX_TID;
    this.#ask(storages, "AskLastIDs", {}, (_, { lastTid, lastOid, firstTid }) => {
      if (lastTid !== null && lastTid > last) last = lastTid;
      if (lastOid !== null && lastOid > oid) oid = lastOid;
      if (firstTid < first) first = firstTid;
    }, () => {
      this.#cluster.transactions.ids.learn(last, oid, first);
      this.#cluster.truncateTid = null;
      this.#askPackOrders();
    });
  }

  // 3. Pack orders

  #askPackOrders(): void {
    const { env, packs } = this.#cluster;
    const minId = add64(packs.minCompleted() ?? ZERO_TID, 1);
    this.#ask(
      this.#readable(),
      "AskPackOrders",
      { minId },
      (_, { orders }) => packs.add(orders),
      () => {
        for (const id of packs.rejectUnsigned()) {
          env.log.warning(`pack order ${hexId(id)} was never approved: it is rejected`);
        }
        this.#lifecycle.serve();
      },
    );
  }
}

/** Handles the messages of a storage during verification. */
class VerifyingStorageHandler extends IdleStorageHandler {
  readonly #storage: Node;

  constructor(cluster: Cluster, storage: Node) {
    super(cluster);
    this.#storage = storage;
  }

  override notifyPackCompleted({ id }: ArgsOf<"NotifyPackCompleted">): void {
    const { nid } = this.#storage;
    if (nid !== null) this.cluster.packs.completed(nid, id);
  }
}
