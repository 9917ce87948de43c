/**
 * A master in a network of memory, and scripted peers.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Master, type MasterOptions } from "../../master/mod.ts";
import { Connection } from "../../network/connection.ts";
import type { Environment } from "../../network/environment.ts";
import { ErrorAnswer, type Request } from "../../network/handler.ts";
import { LogLevel, type PacketRecord, silentLog } from "../../network/log.ts";
import { type Link, MemoryNetwork } from "../../network/memory.ts";
import { ClusterState, ErrorCode, NodeType } from "../../protocol/enums.ts";
import { MAX_TID, type Oid, type Tid } from "../../protocol/ids.ts";
import type {
  AnswerArgsOf,
  ArgsOf,
  CommandName,
  MessageName,
  RequestName,
  SentName,
} from "../../protocol/messages.ts";
import type { Address, Nid } from "../../protocol/nodes.ts";
import type { Anything } from "../../protocol/types.ts";
import { rowsOf, textOf } from "./table_text.ts";
import { type Sent, sentOf } from "./transcript.ts";
import { VirtualClock } from "./virtual_clock.ts";

export const MASTER_ADDRESS: Address = { host: "10.0.0.1", port: 10000 };

/** Lets everything happen that can happen without time passing. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** The reply to a request, once it came. */
export interface Reply<A> {
  answer?: A;
  error?: Error;
}

/** Checks that a request was neither answered nor refused so far. */
export function checkWaiting(reply: Reply<unknown>): void {
  assert.deepEqual({ ...reply }, {}, "it must wait");
}

/** The answer to a request, which must have come. */
export function answerOf<A>({ answer, error }: Reply<A>): A {
  assert(answer !== undefined, `no answer: ${error}`);
  return answer;
}

/** The text of the error that a request was answered with. */
export function errorOf(reply: Reply<unknown>): string {
  if (!(reply.error instanceof ErrorAnswer)) return `no error answer: ${reply.error}`;
  return `${ErrorCode[reply.error.code]} ${reply.error.message}`.trim();
}

/** A message that a peer received and did not answer by itself. */
export interface Unanswered<N extends RequestName> {
  readonly args: ArgsOf<N>;
  readonly from: Request<N>;
}

/** How a peer introduces itself; what is missing has a usual value. */
export interface Identity {
  readonly nid?: Nid | null;
  readonly address?: Address | null;
  readonly cluster?: string;
  readonly extra?: ReadonlyMap<string, Anything>;
  /** Of a candidate master. */
  readonly idTimestamp?: number | null;
  /** Where it connects from. */
  readonly host?: string;
  /** The master it connects to. */
  readonly to?: Address;
}

/** Where peers live. */
export interface PeerWorld {
  readonly env: Environment;
  readonly network: MemoryNetwork;
  newAddress(): Address;
}

/** What a scripted storage answers by itself. */
export interface StorageData {
  ptid: number | null;
  rows: string;
  replicas: number;
  backupTid: Tid | null;
  truncateTid: Tid | null;
  locked: Map<Tid, Tid | null>;
  finalTids: Map<Tid, Tid>;
  lastTid: Tid | null;
  lastOid: Oid | null;
  firstTid: Tid;
}

type Automatic = { readonly [N in RequestName]?: (args: ArgsOf<N>) => AnswerArgsOf<N> };

/** A node that does what the test says. */
export class Peer {
  readonly received: { readonly name: SentName; readonly args: unknown }[] = [];
  /** Messages that are not answered automatically. */
  readonly manual = new Set<SentName>();
  readonly data: StorageData = {
    ptid: null,
    rows: "",
    replicas: 0,
    backupTid: null,
    truncateTid: null,
    locked: new Map(),
    finalTids: new Map(),
    lastTid: null,
    lastOid: null,
    firstTid: MAX_TID,
  };
  identification: Reply<AnswerArgsOf<"RequestIdentification">> = {};
  closed = false;
  #connection: Connection | null = null;
  readonly #unanswered: { readonly name: SentName; readonly args: unknown; from: unknown }[] = [];

  constructor(readonly scene: PeerWorld, readonly type: NodeType, readonly identity: Identity) {}

  get connection(): Connection {
    assert(this.#connection, "the peer is not connected");
    return this.#connection;
  }

  get nid(): Nid {
    const { answer } = this.identification;
    assert(answer?.yourNid, `not identified: ${this.identification.error}`);
    return answer.yourNid;
  }

  /** Connects without a word. */
  async connect(): Promise<this> {
    const { env, network } = this.scene;
    const { connect } = network.host(this.identity.host ?? "10.0.0.2");
    const transport = await connect(this.identity.to ?? MASTER_ADDRESS);
    this.closed = false;
    const handler: object = new Proxy({}, {
      get: (_, method) => {
        // Answered by the connection.
        if (method === "ping" && !this.manual.has("Ping")) return undefined;
        return (args: unknown, from: unknown) => this.#receive(String(method), args, from);
      },
    });
    this.#connection = new Connection({ ...env, log: silentLog }, transport, {
      connecting: true,
      handler,
      onClosed: () => {
        this.closed = true;
      },
    });
    return this;
  }

  /** Connects and introduces itself. */
  async identify(): Promise<this> {
    await this.connect();
    const { nid = null, cluster = "test", idTimestamp = null, extra = new Map() } = this.identity;
    const { address = this.type === NodeType.CLIENT ? null : this.scene.newAddress() } =
      this.identity;
    const { type } = this;
    this.identification = this.ask("RequestIdentification", {
      type,
      nid,
      address,
      cluster,
      idTimestamp,
      extra,
    });
    await settle();
    return this;
  }

  #receive(method: string, args: unknown, from: unknown): void {
    const name = method.charAt(0).toUpperCase() + method.slice(1) as SentName;
    this.received.push({ name, args });
    const automatic = this.manual.has(name) ? undefined : this.#automatic()[name as RequestName];
    if (automatic !== undefined) {
      const answer = (automatic as (args: unknown) => unknown)(args);
      (from as { answer(args: unknown): void }).answer(answer);
    } else this.#unanswered.push({ name, args, from });
    if (name === "SendPartitionTable") this.#save(args as ArgsOf<"SendPartitionTable">);
    if (name === "NotifyPartitionChanges") {
      this.data.ptid = (args as ArgsOf<"NotifyPartitionChanges">).ptid;
    }
    if (name === "Truncate" && !this.manual.has("Truncate")) {
      this.data.truncateTid = (args as ArgsOf<"Truncate">).tid;
    }
    if (name === "StartOperation" && !this.manual.has("StartOperation")) {
      this.notify("NotifyReady", {});
    }
  }

  #save({ ptid, replicas, rows }: ArgsOf<"SendPartitionTable">): void {
    Object.assign(this.data, { ptid, replicas, rows: textOf(rows) });
  }

  #automatic(): Automatic {
    const { data } = this;
    return {
      AskRecovery: () => data,
      AskPartitionTable: () => ({ ...data, rows: rowsOf(data.rows) }),
      AskLockedTransactions: () => ({ transactions: data.locked }),
      AskFinalTID: ({ ttid }) => ({ tid: data.finalTids.get(ttid) ?? null }),
      AskLastIDs: () => data,
      AskPackOrders: () => ({ orders: [] }),
      AskLockInformation: ({ ttid }) => ({ ttid }),
    };
  }

  /** Sends a request; look at the reply after everything settled. */
  ask<N extends RequestName>(name: N, args: ArgsOf<N>): Reply<AnswerArgsOf<N>> {
    const reply: Reply<AnswerArgsOf<N>> = {};
    this.connection.request(
      name,
      args,
      (answer) => reply.answer = answer,
      (error) => reply.error = error,
    );
    return reply;
  }

  /** Sends a request, and returns the answer, which must come at once. */
  async get<N extends RequestName>(name: N, args: ArgsOf<N>): Promise<AnswerArgsOf<N>> {
    const reply = this.ask(name, args);
    await settle();
    assert(reply.answer, `${name} was not answered: ${reply.error}`);
    return reply.answer;
  }

  /** Sends a command; the reply is its text, or the error. */
  command<N extends CommandName>(name: N, args: ArgsOf<N>): Reply<string> {
    const reply: Reply<string> = {};
    this.connection.sendCommand(
      name,
      args,
      (message) => reply.answer = message,
      (error) => reply.error = error,
    );
    return reply;
  }

  /** Sends a command; returns its text, or the error. */
  async order<N extends CommandName>(name: N, args: ArgsOf<N>): Promise<string> {
    const reply = this.command(name, args);
    await settle();
    return reply.answer ?? errorOf(reply);
  }

  /** Does as if it replicated its cells of some partitions. */
  async replicate(...partitions: number[]): Promise<void> {
    const { lastTid: tid } = await this.get("AskUnfinishedTransactions", { partitions });
    for (const partition of partitions) this.notify("NotifyReplicationDone", { partition, tid });
    await settle();
  }

  notify<N extends SentName>(name: N, args: ArgsOf<N>): void {
    this.connection.notify(name, args);
  }

  /** Takes the oldest message of that name that was not answered automatically. */
  take<N extends RequestName>(name: N): Unanswered<N> {
    const index = this.#unanswered.findIndex((message) => message.name === name);
    assert(index >= 0, `${name} was not received`);
    const [message] = this.#unanswered.splice(index, 1);
    return message as unknown as Unanswered<N>;
  }

  /** The last message of that name. */
  last<N extends SentName>(name: N): ArgsOf<N> {
    const message = this.received.findLast((message) => message.name === name);
    assert(message, `${name} was not received`);
    return message.args as ArgsOf<N>;
  }

  /** How often a message was received. */
  count(name: SentName): number {
    return this.received.filter((message) => message.name === name).length;
  }

  /** Is gone, as when the process is killed. */
  async kill(): Promise<void> {
    this.connection.close();
    await settle();
  }
}

/** A master and its peers. */
export class Scene {
  readonly clock = new VirtualClock();
  readonly network = new MemoryNetwork(this.clock);
  readonly env: Environment;
  readonly master: Master;
  readonly warnings: string[] = [];
  readonly #stop = new AbortController();
  #sent: Sent[] = [];
  #nextPort = 20001;
  /** How the master ended. */
  outcome: "running" | "ended" | Error = "running";

  constructor(options: Partial<MasterOptions> = {}) {
    const log = {
      ...silentLog,
      warning: (text: string) => this.warnings.push(`${LogLevel[LogLevel.WARNING]} ${text}`),
      error: (text: string) => this.warnings.push(`${LogLevel[LogLevel.ERROR]} ${text}`),
      packet: (record: PacketRecord) => this.#record(record),
    };
    this.env = {
      now: () => this.clock.wall,
      monotonic: this.clock.monotonic,
      setTimer: this.clock.setTimer,
      random: () => 0.5,
      ...this.network.host(MASTER_ADDRESS.host),
      log,
    };
    this.master = new Master(this.env, {
      cluster: "test",
      bind: MASTER_ADDRESS,
      masters: [],
      nid: null,
      partitions: 2,
      replicas: 1,
      autostart: null,
      ...options,
    });
  }

  #record(record: PacketRecord): void {
    if (record.sent) this.#sent.push(sentOf(record));
  }

  /** What the master sent since the last call, as `S1 NotifyReady`, in order. */
  sent(...names: MessageName[]): string[] {
    const lines = this.#sent
      .filter(({ name }) => names.length === 0 || names.includes(name))
      .map(({ to, name, text }) => `${to} ${name}${text === "" ? "" : ` ${text}`}`);
    this.#sent = [];
    return lines;
  }

  /** All that the master sent since the last call, with all details. */
  takeSent(): readonly Sent[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }

  /** What the master sent to one peer since the last call of `sent`. */
  sentTo(receiver: string): string[] {
    return this.#sent.filter(({ to }) => to === receiver)
      .map(({ name, text }) => `${name}${text === "" ? "" : ` ${text}`}`);
  }

  newAddress(): Address {
    return { host: "10.0.0.2", port: this.#nextPort++ };
  }

  async start(): Promise<this> {
    this.master.run(this.#stop.signal).then(
      () => this.outcome = "ended",
      (error) => this.outcome = error instanceof Error ? error : new Error(String(error)),
    );
    await settle();
    return this;
  }

  /** Ends the master, whatever it does. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await settle();
  }

  peer(type: NodeType, identity: Identity = {}): Peer {
    return new Peer(this, type, identity);
  }

  storage(identity: Identity = {}): Promise<Peer> {
    return this.peer(NodeType.STORAGE, identity).identify();
  }

  /** A storage that has a table. */
  storageWith(data: Partial<StorageData>, identity: Identity = {}): Promise<Peer> {
    const peer = this.peer(NodeType.STORAGE, identity);
    Object.assign(peer.data, data);
    return peer.identify();
  }

  client(identity: Identity = {}): Promise<Peer> {
    return this.peer(NodeType.CLIENT, identity).identify();
  }

  admin(identity: Identity = {}): Promise<Peer> {
    return this.peer(NodeType.ADMIN, identity).identify();
  }

  get links(): Link[] {
    return [...this.network.links];
  }

  async clusterState(admin: Peer): Promise<string> {
    const { state } = await admin.get("AskClusterState", {});
    return state === null ? "null" : ClusterState[state];
  }
}

/** Runs a test with a master that is ended afterwards. */
export async function withScene(
  options: Partial<MasterOptions>,
  test: (scene: Scene) => Promise<void>,
): Promise<void> {
  const scene = await new Scene(options).start();
  try {
    await test(scene);
  } finally {
    await scene.stop();
  }
}

/** A running cluster with some storages, an admin and a client. */
export interface Running {
  readonly scene: Scene;
  readonly storages: readonly Peer[];
  readonly admin: Peer;
  readonly client: Peer;
  /** One of the storages, from 1. */
  readonly s: (n: number) => Peer;
}

/** Runs a test with a cluster in operation. */
export function withCluster(
  count: number,
  options: Partial<MasterOptions>,
  test: (running: Running) => Promise<void>,
): Promise<void> {
  return withScene({ autostart: count, ...options }, async (scene) => {
    const admin = await scene.admin();
    const storages: Peer[] = [];
    for (let i = 0; i < count; i++) storages.push(await scene.storage());
    assert.equal(await scene.clusterState(admin), "RUNNING");
    const client = await scene.client();
    scene.sent();
    const s = (n: number) => {
      const storage = storages[n - 1];
      assert(storage);
      return storage;
    };
    await test({ scene, storages, admin, client, s });
    assert.deepEqual(
      scene.warnings.filter((text) => text.includes(" failed: ")),
      [],
      "no handler failed",
    );
  });
}

/** Begins a transaction. */
export async function begin(client: Peer): Promise<Tid> {
  return (await client.get("AskBeginTransaction", { tid: null })).ttid;
}

/** The arguments to finish a transaction that stored some objects. */
export function finishArgs(ttid: Tid, ...oids: bigint[]): ArgsOf<"AskFinishTransaction"> {
  return { ttid, oids: oids as Oid[], deleted: [], checked: [], pack: null };
}
