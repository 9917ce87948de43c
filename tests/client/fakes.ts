/** A master and storages that do what tests say, on a network without sockets, in still time. */

import assert from "node:assert/strict";
import { hash } from "node:crypto";
import type { ClientOptions } from "../../client/mod.ts";
import { Client } from "../../client/client.ts";
import { checkOptions } from "../../client/options.ts";
import { Connection } from "../../network/connection.ts";
import type { Environment } from "../../network/environment.ts";
import type { Listener } from "../../network/transport.ts";
import { CellState, type ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";
import { type Oid, type Tid, toOid, toTid, ZERO_TID } from "../../protocol/ids.ts";
import type { AnswerArgsOf, ArgsOf, RequestName, SentName } from "../../protocol/messages.ts";
import { type Address, type Nid, nidOf, nodeName } from "../../protocol/nodes.ts";
import { quiet, turns, until, type World, world } from "../network/support.ts";

export { quiet, until };

export const oid = (n: number): Oid => toOid(n);
export const tid = (n: number): Tid => toTid(n);
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const sha1 = (data: Uint8Array): Uint8Array => new Uint8Array(hash("sha1", data, "buffer"));

const MASTER: Nid = nidOf(NodeType.MASTER, 1);
export const SELF: Nid = nidOf(NodeType.CLIENT, 1);

/** A message that a fake node received. */
export interface Heard<N extends SentName = SentName> {
  readonly name: N;
  readonly args: ArgsOf<N>;
  readonly connection: Connection;
  answer(args: N extends RequestName ? AnswerArgsOf<N> : never): void;
  error(code: ErrorCode, message?: string): void;
}

/** Reactions by message; what has none is kept for the test. */
export type Script = { [N in SentName]?: (heard: Heard<N>) => void };

/** A node that answers by its script, or waits for the test to answer. */
export class FakeNode {
  script: Script = {};
  readonly connections: Connection[] = [];
  /** Everything received, in order. */
  readonly heard: Heard[] = [];
  #unclaimed: Heard[] = [];
  #listener: Listener | null = null;

  constructor(readonly env: Environment, readonly address: Address) {}

  async listen(): Promise<void> {
    this.#listener = await this.env.listen(this.address, (transport) => {
      const connection: Connection = new Connection(this.env, transport, {
        connecting: false,
        handler: this.#handler(() => connection),
        onClosed: () => this.connections.splice(this.connections.indexOf(connection), 1),
      });
      connection.identified("the client", NodeType.CLIENT);
      this.connections.push(connection);
    });
  }

  /** Refuses connections and closes those there are. */
  stop(): void {
    this.#listener?.close();
    this.disconnect();
  }

  disconnect(): void {
    for (const connection of [...this.connections]) connection.close();
  }

  /** The next message of a name that the script did not react to. */
  async next<N extends SentName>(name: N): Promise<Heard<N>> {
    const find = () => this.#unclaimed.findIndex((heard) => heard.name === name);
    await until(() => find() >= 0, `${name}, only ${this.#unclaimed.map(({ name }) => name)}`);
    const [heard] = this.#unclaimed.splice(find(), 1);
    assert.ok(heard !== undefined);
    return heard as unknown as Heard<N>;
  }

  /** How often a message was received. */
  count(name: SentName): number {
    return this.heard.filter((heard) => heard.name === name).length;
  }

  /** The arguments of all messages of a name. */
  all<N extends SentName>(name: N): ArgsOf<N>[] {
    const found = this.heard.filter((heard) => heard.name === name);
    return found.map(({ args }) => args as ArgsOf<N>);
  }

  notify<N extends SentName>(name: N, args: ArgsOf<N>): void {
    const connection = this.connections.at(-1);
    assert.ok(connection !== undefined, "nobody is connected");
    connection.notify(name, args);
  }

  #handler(connection: () => Connection): object {
    return new Proxy({}, {
      get: (_, method) => {
        // Pings are answered by the connection.
        if (typeof method !== "string" || method === "ping") return undefined;
        const name = (method.slice(0, 1).toUpperCase() + method.slice(1)) as SentName;
        return (args: never, from: Pick<Heard, "answer" | "error">) => {
          const heard: Heard = {
            name,
            args,
            connection: connection(),
            answer: (answer) => from.answer(answer),
            error: (code, message) => from.error(code, message),
          };
          this.heard.push(heard);
          const react = this.script[name] as ((heard: Heard) => void) | undefined;
          if (react === undefined) this.#unclaimed.push(heard);
          else react(heard);
        };
      },
    });
  }
}

/** How a fake cluster is made. */
export interface FakeClusterOptions {
  /** Ids of the storages of each partition. Default: one partition on one storage. */
  readonly rows?: readonly (readonly Nid[])[];
  readonly lastTid?: Tid;
}

/** A fake master and its fake storages; everything succeeds unless the test replaces scripts. */
export class FakeCluster implements AsyncDisposable {
  readonly world: World = world();
  readonly master: FakeNode;
  readonly storages = new Map<Nid, FakeNode>();
  rows: { nid: Nid; state: CellState }[][];
  readonly states = new Map<Nid, NodeState>();
  /** When each storage was identified by the master. */
  readonly #lives = new Map<Nid, number>();
  lastTid: Tid;
  /** The next ttid or tid to give. */
  nextTid: Tid;
  /** Answer of `AskObject` by default. */
  data = bytes("data");
  /** Serial of all objects. */
  serial: Tid = tid(10);
  readonly clients: Client[] = [];
  #time = 1000;

  private constructor({ rows = [[1]], lastTid = tid(100) }: FakeClusterOptions) {
    this.lastTid = lastTid;
    this.nextTid = toTid(lastTid + 100n);
    this.rows = rows.map((row) => row.map((nid) => ({ nid, state: CellState.UP_TO_DATE })));
    this.master = new FakeNode(this.#env("10.0.0.1"), { host: "10.0.0.1", port: 10000 });
    this.master.script = {
      RequestIdentification: ({ answer, connection }) => {
        answer({ type: NodeType.MASTER, nid: MASTER, yourNid: SELF });
        this.#welcome(connection);
      },
      AskLastTransaction: ({ answer }) => answer({ tid: this.lastTid }),
      AskNewOIDs: ({ args, answer }) =>
        answer({ oids: Array.from({ length: args.count }, (_, i) => oid(i + 1)) }),
      AskBeginTransaction: ({ args, answer }) => answer({ ttid: args.tid ?? this.newTid() }),
      AskFinishTransaction: ({ args, answer }) => {
        this.lastTid = this.newTid();
        answer({ ttid: args.ttid, tid: this.lastTid });
      },
      AbortTransaction: () => {},
    };
    for (const nid of new Set(rows.flat())) {
      const host = `10.0.1.${nid}`;
      const storage = new FakeNode(this.#env(host), { host, port: 20000 });
      storage.script = {
        RequestIdentification: ({ answer }) =>
          answer({ type: NodeType.STORAGE, nid, yourNid: SELF }),
        AskObject: ({ args: { oid, at }, answer }) => {
          const object = this.object(oid);
          answer(at === null ? object : { ...object, serial: at, nextSerial: toTid(at + 1n) });
        },
        AskStoreObject: ({ answer }) => answer({ conflict: null }),
        AskCheckCurrentSerial: ({ answer }) => answer({ conflict: null }),
        AskStoreTransaction: ({ answer }) => answer({}),
        AskVoteTransaction: ({ answer }) => answer({}),
        AbortTransaction: () => {},
      };
      this.storages.set(nid, storage);
      this.states.set(nid, NodeState.RUNNING);
    }
  }

  static async start(options: FakeClusterOptions = {}): Promise<FakeCluster> {
    const cluster = new FakeCluster(options);
    await cluster.master.listen();
    for (const storage of cluster.storages.values()) await storage.listen();
    return cluster;
  }

  /** A client that may still be connecting. */
  client(options: Partial<ClientOptions> = {}): Client {
    const client = new Client(
      this.#env("10.0.2.1"),
      checkOptions({ name: "test", masters: ["10.0.0.1:10000"], compress: false, ...options }),
    );
    this.clients.push(client);
    return client;
  }

  async connect(options: Partial<ClientOptions> = {}): Promise<Client> {
    const client = this.client(options);
    await client.connected();
    return client;
  }

  storage(nid: Nid): FakeNode {
    const storage = this.storages.get(nid);
    assert.ok(storage !== undefined, nodeName(nid));
    return storage;
  }

  newTid(): Tid {
    this.nextTid = toTid(this.nextTid + 10n);
    return this.nextTid;
  }

  /** A revision as a storage gives it. */
  object(oid: Oid, data: Uint8Array = this.data): AnswerArgsOf<"AskObject"> {
    const { serial } = this;
    const checksum = sha1(data);
    return { oid, serial, nextSerial: null, compression: 0, checksum, data, dataSerial: null };
  }

  /** The master tells that a storage is in another state. */
  setState(nid: Nid, state: NodeState): void {
    this.states.set(nid, state);
    this.#lives.set(nid, ++this.#time);
    this.master.notify("NotifyNodeInformation", {
      timestamp: ++this.#time,
      nodes: [this.#describe(nid)],
    });
  }

  /** The master tells that another client committed. */
  invalidate(tid: Tid, ...oids: Oid[]): void {
    this.lastTid = tid;
    this.master.notify("InvalidateObjects", { tid, oids });
  }

  /** Lets a lost client come back: it waits a second between two attempts. */
  async wait(milliseconds = 1000): Promise<void> {
    await this.world.clock.advance(milliseconds, turns);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) await client.close();
    this.master.stop();
    for (const storage of this.storages.values()) storage.stop();
    await quiet();
    const errors = this.world.log.lines.filter((line) => line.startsWith("ERROR"));
    assert.deepEqual(errors.filter((line) => /stack|internal/.test(line)), []);
    assert.equal(this.world.clock.timers, 0, "timers are left");
  }

  #welcome(connection: Connection): void {
    const idTimestamp = ++this.#time;
    connection.notify("NotifyNodeInformation", {
      timestamp: ++this.#time,
      nodes: [
        { type: NodeType.CLIENT, address: null, nid: SELF, state: NodeState.RUNNING, idTimestamp },
        {
          type: NodeType.MASTER,
          address: this.master.address,
          nid: MASTER,
          state: NodeState.RUNNING,
          idTimestamp: null,
        },
        ...[...this.storages.keys()].map((nid) => this.#describe(nid)),
      ],
    });
    connection.notify("SendPartitionTable", {
      ptid: 1,
      replicas: 0,
      rows: this.rows,
    });
  }

  #describe(nid: Nid) {
    const { address } = this.storage(nid);
    const state = this.states.get(nid) ?? NodeState.DOWN;
    const idTimestamp = this.#lives.get(nid) ?? 1;
    return { type: NodeType.STORAGE, address, nid, state, idTimestamp };
  }

  #env(host: string): Environment {
    return { ...this.world.env, ...this.world.network.host(host) };
  }
}

export { CellState, NodeState, ZERO_TID };
