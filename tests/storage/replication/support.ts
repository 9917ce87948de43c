/** A storage whose cells have copies on others, that do what tests say. */

import assert from "node:assert/strict";
import type { Environment } from "../../../network/environment.ts";
import type { Listener } from "../../../network/transport.ts";
import { CellState, NodeState, NodeType } from "../../../protocol/enums.ts";
import type { ArgsOf, RequestName } from "../../../protocol/messages.ts";
import { type Address, type Nid, nodeName } from "../../../protocol/nodes.ts";
import {
  CLUSTER,
  type Heard,
  Peer,
  type Scene,
  type SceneOptions,
  sha1,
  tid,
  until,
  withScene,
} from "../support.ts";

export const { OUT_OF_DATE, UP_TO_DATE, FEEDING, DISCARDED, CORRUPTED } = CellState;
export const NOTHING = new Uint8Array(0);

/** A request that a storage received. */
export interface Asked<N extends RequestName> {
  readonly args: ArgsOf<N>;
  readonly from: Heard["from"];
}

/** Another storage. */
export class FakeStorage extends Peer {
  #listener: Listener | null = null;
  /** Whether it accepts those who connect. */
  accepting = true;

  constructor(readonly scene: Scene, readonly nid: Nid) {
    super();
    this.onMessage = (name, _, from) => {
      if (name !== "RequestIdentification" || !this.accepting) return;
      const { nid } = scene.master;
      from.answer({ type: NodeType.STORAGE, nid: this.nid, yourNid: nid });
      this.connection.identified(nodeName(nid), NodeType.STORAGE);
    };
  }

  get address(): Address {
    return { host: "127.0.0.1", port: 20000 + this.nid };
  }

  async listen(env: Environment = this.scene.env): Promise<void> {
    this.#listener = await env.listen(this.address, (transport) => {
      this.closedWith = undefined;
      this.attach(env, transport, false);
    });
  }

  /** Does not listen any more, and loses its connection. */
  stop(): void {
    this.#listener?.close();
    this.#listener = null;
    if (this.heard.length > 0) this.connection.close();
  }

  /** The master tells its state. Returns the id timestamp. */
  announce(state = NodeState.RUNNING): number {
    const idTimestamp = this.scene.master.nextTime - 0.5;
    const { address, nid } = this;
    this.scene.master.nodes({ type: NodeType.STORAGE, address, nid, state, idTimestamp });
    return idTimestamp;
  }

  /** Connects to the storage under test, as an identified storage. */
  async dial(): Promise<void> {
    const idTimestamp = this.announce();
    const { env, storage } = this.scene;
    this.attach(env, await env.connect(await storage.address), true);
    this.closedWith = undefined;
    await this.ask("RequestIdentification", {
      type: NodeType.STORAGE,
      nid: this.nid,
      address: this.address,
      cluster: CLUSTER,
      idTimestamp,
      extra: new Map(),
    }).got();
    this.connection.identified(nodeName(this.scene.master.nid), NodeType.STORAGE);
  }

  /** The next request of that name, once it was received. */
  async asked<N extends RequestName>(name: N): Promise<Asked<N>> {
    const find = () => this.heard.findIndex((message) => message.name === name);
    await until(() => find() >= 0, `${nodeName(this.nid)} is asked ${name}`);
    const [message] = this.heard.splice(find(), 1);
    assert.ok(message !== undefined);
    return message as unknown as Asked<N>;
  }

  sendTransaction({ from }: Asked<"AskFetchTransactions">, id: number, oids: number[] = []): void {
    this.connection.push(from.id, "AddTransaction", {
      tid: tid(id),
      user: NOTHING,
      description: NOTHING,
      extension: NOTHING,
      packed: false,
      ttid: tid(id),
      oids: oids.map((oid) => BigInt(oid) as never),
      pack: null,
    });
  }

  sendObject(
    { from }: Asked<"AskFetchObjects">,
    id: number,
    oid: number,
    text: string,
    checksum?: Uint8Array,
  ): void {
    const data = new TextEncoder().encode(text);
    this.connection.push(from.id, "AddObject", {
      tid: tid(id),
      oid: BigInt(oid) as never,
      compression: 0,
      checksum: checksum ?? sha1(data),
      data,
      dataSerial: null,
    });
  }
}

export interface ReplicaOptions extends SceneOptions {
  /** States of the cells of this node. */
  readonly cells: readonly CellState[];
  /** Ids of the other storages that have all the cells. */
  readonly others?: readonly Nid[];
  /** Answer to `AskUnfinishedTransactions`; not answered by default. */
  readonly unfinished?: { readonly lastTid: number; readonly ttids?: readonly number[] };
}

/** Runs a test with a storage in operation, and others that run. */
export async function withReplicas(
  { others = [2], unfinished, ...options }: ReplicaOptions,
  test: (scene: Scene, ...storages: FakeStorage[]) => Promise<void>,
): Promise<void> {
  await withScene({ ...options, operational: false }, async (scene) => {
    const { master } = scene;
    const storages = others.map((nid) => new FakeStorage(scene, nid));
    for (const storage of storages) {
      await storage.listen();
      storage.announce();
    }
    master.notify("SendPartitionTable", {
      ptid: 1,
      replicas: others.length,
      rows: options.cells.map((state) => [
        { nid: master.nid, state },
        ...others.map((nid) => ({ nid, state: UP_TO_DATE })),
      ]),
    });
    master.notify("StartOperation", { backup: false });
    await until(() => master.names.includes("NotifyReady"), "the storage is ready");
    if (unfinished !== undefined) await answerUnfinished(scene, unfinished);
    try {
      await test(scene, ...storages);
    } finally {
      for (const storage of storages) storage.stop();
    }
  });
}

/** Answers what the storage asks the master when cells have to be filled. */
export async function answerUnfinished(
  { master }: Scene,
  { lastTid, ttids = [] }: { readonly lastTid: number; readonly ttids?: readonly number[] },
): Promise<readonly number[]> {
  const name = "AskUnfinishedTransactions";
  await until(() => master.names.includes(name), "the storage asks for unfinished transactions");
  const index = master.heard.findIndex((message) => message.name === name);
  const [message] = master.heard.splice(index, 1);
  message?.from.answer({ lastTid: tid(lastTid), ttids: ttids.map(tid) });
  return message?.args.partitions as readonly number[];
}

/** The master changes cells of the storage under test. */
export function change(
  { master }: Scene,
  ptid: number,
  ...cells: readonly (readonly [partition: number, nid: Nid, state: CellState])[]
): void {
  master.notify("NotifyPartitionChanges", {
    ptid,
    replicas: 1,
    cells: cells.map(([partition, nid, state]) => ({ partition, nid, state })),
  });
}

/** Answers both phases of a replication with nothing. */
export async function feedNothing(storage: FakeStorage): Promise<void> {
  (await storage.asked("AskFetchTransactions")).from
    .answer({ next: null, toDelete: [], completedPack: null });
  (await storage.asked("AskFetchObjects")).from
    .answer({ nextTid: null, nextOid: null, toDelete: new Map() });
}
