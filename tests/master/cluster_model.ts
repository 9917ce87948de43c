/**
 * A cluster around a real master: storages that keep, instead of data, which transactions they have of
 * each partition, and a client. Nothing is lost as long as each readable cell has all of them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { PartitionTable } from "../../node/partition_table.ts";
import { CellState, ErrorCode, isReadable } from "../../protocol/enums.ts";
import { partitionOf, type Tid } from "../../protocol/ids.ts";
import type { ArgsOf } from "../../protocol/messages.ts";
import type { Nid } from "../../protocol/nodes.ts";
import { finishArgs, type Peer, type Reply, type Scene, settle } from "./support.ts";

/** Follows the partition table that a peer is told about. */
class Follower {
  readonly table = new PartitionTable();
  #position = 0;

  constructor(public peer: Peer) {}

  /** Goes on with another connection. */
  resume(peer: Peer): void {
    this.peer = peer;
    this.#position = 0;
  }

  /** Handles what was received since the last call. */
  *news(): Generator<{ readonly name: string; readonly args: unknown }> {
    while (this.#position < this.peer.received.length) {
      const message = this.peer.received[this.#position++];
      if (message === undefined) return;
      const { name, args } = message;
      if (name === "SendPartitionTable") this.table.load(args as ArgsOf<"SendPartitionTable">);
      else if (name === "NotifyPartitionChanges") {
        this.table.change(args as ArgsOf<"NotifyPartitionChanges">);
      }
      yield message;
    }
  }
}

/** A storage. */
export class StorageModel extends Follower {
  running = true;
  /** Committed transactions of each partition. */
  readonly data = new Map<number, Set<Tid>>();
  /** Partitions that a transaction in progress has written to here. */
  readonly written = new Map<Tid, Set<number>>();
  /** Transactions to wait for before a partition can be replicated. */
  readonly #waiting = new Map<number, Set<Tid>>();
  readonly #locked = new Map<Tid, Tid>();

  get nid(): Nid {
    return this.peer.nid;
  }

  override resume(peer: Peer): void {
    super.resume(peer);
    peer.manual.add("AskLockInformation");
    this.running = true;
  }

  /** Reacts to what was received. Returns whether there was something. */
  react(): boolean {
    let busy = false;
    for (const { name, args } of this.news()) {
      busy = true;
      this.#handle(name, args);
    }
    for (const [partition, row] of this.table.rows.entries()) {
      const cell = row.find(({ nid }) => nid === this.nid);
      if (cell?.state !== CellState.OUT_OF_DATE) this.#waiting.delete(partition);
      else if (!this.#waiting.has(partition) && this.peer.count("StartOperation") > 0) {
        this.#waiting.set(partition, new Set());
        this.#askUnfinished(partition);
      }
    }
    return busy;
  }

  #handle(name: string, args: unknown): void {
    switch (name) {
      case "AskLockInformation": {
        const { args: { ttid, tid }, from } = this.peer.take("AskLockInformation");
        if (this.written.has(ttid)) {
          this.#locked.set(ttid, tid);
          from.answer({ ttid });
        } else from.error(ErrorCode.INCOMPLETE_TRANSACTION, "not voted");
        break;
      }
      case "NotifyUnlockInformation": {
        const { ttid } = args as ArgsOf<"NotifyUnlockInformation">;
        const tid = this.#locked.get(ttid);
        assert(tid !== undefined);
        for (const partition of this.written.get(ttid) ?? []) this.dataOf(partition).add(tid);
        this.#locked.delete(ttid);
        this.#ended(ttid);
        break;
      }
      case "AbortTransaction":
      case "NotifyTransactionFinished":
        this.#ended((args as ArgsOf<"AbortTransaction">).ttid);
        break;
      case "NotifyPartitionChanges":
        for (const { nid, partition, state } of (args as ArgsOf<"NotifyPartitionChanges">).cells) {
          if (nid !== this.nid || state !== CellState.DISCARDED) continue;
          this.data.delete(partition);
          for (const partitions of this.written.values()) partitions.delete(partition);
        }
        break;
    }
  }

  /** The committed transactions of a partition. */
  dataOf(partition: number): Set<Tid> {
    const tids = this.data.get(partition) ?? new Set();
    this.data.set(partition, tids);
    return tids;
  }

  #ended(ttid: Tid): void {
    if (!this.#locked.has(ttid)) this.written.delete(ttid);
    for (const ttids of this.#waiting.values()) ttids.delete(ttid);
  }

  #askUnfinished(partition: number): void {
    this.peer.connection.request(
      "AskUnfinishedTransactions",
      { partitions: [partition] },
      ({ ttids }) => {
        this.#waiting.set(partition, new Set(ttids));
      },
      () => {},
    );
  }

  /** Replicates a partition, if no transaction is to be waited for. */
  replicate(partition: number, sources: readonly StorageModel[]): void {
    if (this.#waiting.get(partition)?.size !== 0) return;
    const source = sources.find((storage) => {
      const state = storage.table.cellState(partition, storage.nid);
      return storage !== this && storage.running && state !== null && isReadable(state);
    });
    if (source === undefined) return;
    for (const tid of source.dataOf(partition)) this.dataOf(partition).add(tid);
    const tid = [...this.dataOf(partition)].at(-1) ?? (0n as Tid);
    this.peer.notify("NotifyReplicationDone", { partition, tid });
  }

  /** The process is gone, with what was not committed. */
  async kill(): Promise<void> {
    this.running = false;
    this.written.clear();
    this.#waiting.clear();
    this.#locked.clear();
    if (!this.peer.closed) await this.peer.kill();
  }
}

/** A transaction of the client. */
interface Pending {
  readonly ttid: Tid;
  readonly partitions: Set<number>;
}

/** Everything around a master. */
export class ClusterModel {
  readonly storages: StorageModel[] = [];
  readonly client: Follower;
  readonly admin: Peer;
  readonly pending: Pending[] = [];
  /** What the client was told to be committed, by partition. */
  readonly acknowledged = new Map<number, Set<Tid>>();

  constructor(readonly scene: Scene, admin: Peer, client: Peer, storages: readonly Peer[]) {
    this.admin = admin;
    this.client = new Follower(client);
    for (const peer of storages) this.adopt(peer);
  }

  adopt(peer: Peer): void {
    peer.manual.add("AskLockInformation");
    this.storages.push(new StorageModel(peer));
  }

  get partitions(): number {
    return this.client.table.partitions;
  }

  /** Lets everybody react until nobody has anything more to say. */
  async settle(): Promise<void> {
    for (let busy = true; busy;) {
      await settle();
      busy = false;
      for (const storage of this.storages) busy = storage.running && storage.react() || busy;
      for (const _ of this.client.news()) busy = true;
    }
  }

  running(nid: Nid): StorageModel | undefined {
    return this.storages.find((storage) => storage.running && storage.nid === nid);
  }

  async begin(): Promise<void> {
    const { ttid } = await this.client.peer.get("AskBeginTransaction", { tid: null });
    const transaction = { ttid, partitions: new Set<number>() };
    this.pending.push(transaction);
    this.write(transaction, partitionOf(ttid, this.partitions));
  }

  /** The client writes to all cells that it knows, and has them vote. */
  write({ ttid, partitions }: Pending, partition: number): void {
    partitions.add(partition);
    for (const { nid } of this.client.table.cells(partition)) {
      const storage = this.running(nid);
      if (storage === undefined) continue;
      const written = storage.written.get(ttid) ?? new Set();
      storage.written.set(ttid, written.add(partition));
    }
  }

  async finish(transaction: Pending): Promise<void> {
    this.pending.splice(this.pending.indexOf(transaction), 1);
    const oids = [...transaction.partitions].map((partition) => BigInt(partition));
    const reply: Reply<{ tid: Tid }> = this.client.peer.ask(
      "AskFinishTransaction",
      finishArgs(transaction.ttid, ...oids),
    );
    await this.settle();
    assert(reply.answer, `not finished: ${reply.error}`);
    for (const partition of transaction.partitions) {
      const tids = this.acknowledged.get(partition) ?? new Set();
      this.acknowledged.set(partition, tids.add(reply.answer.tid));
    }
  }

  abort(transaction: Pending): void {
    this.pending.splice(this.pending.indexOf(transaction), 1);
    this.client.peer.notify("AbortTransaction", {
      ttid: transaction.ttid,
      nids: this.storages.filter(({ written }) => written.has(transaction.ttid)).map(({ nid }) =>
        nid
      ),
    });
  }

  /** @throws {assert.AssertionError} if something could be read that is not complete. */
  check(): void {
    const { table } = this.client;
    for (const partition of table.rows.keys()) {
      const expected = [...this.acknowledged.get(partition) ?? []].sort();
      for (const { nid } of table.readableCells(partition)) {
        const storage = this.running(nid);
        if (storage === undefined) continue;
        assert(!storage.peer.closed, `S${nid} was disconnected`);
        assert.deepEqual(
          [...storage.dataOf(partition)].sort(),
          expected,
          `${partition} of S${nid}`,
        );
      }
    }
    const pending = new Set(this.pending.map(({ ttid }) => ttid));
    for (const storage of this.storages) {
      for (const ttid of storage.written.keys()) {
        assert(pending.has(ttid), `S${storage.nid} still has a transaction that is over`);
      }
    }
  }
}
