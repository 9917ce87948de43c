/** A storage node between a master and clients that do what tests say, on a network without sockets. */

import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { Connection } from "../../network/connection.ts";
import type { Environment } from "../../network/environment.ts";
import type { ErrorAnswer } from "../../network/handler.ts";
import type { Listener } from "../../network/transport.ts";
import { CellState, ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";
import { type Oid, type Tid, toOid, toTid, ZERO_OID, ZERO_TID } from "../../protocol/ids.ts";
import type { AnswerArgsOf, ArgsOf, RequestName, SentName } from "../../protocol/messages.ts";
import { type Address, type Nid, type NodeDescription, nodeName } from "../../protocol/nodes.ts";
import { type Database, DatabaseError, openDatabase } from "../../storage/database/mod.ts";
import { Storage, type StorageOptions } from "../../storage/mod.ts";
import { quiet, until, type World, world } from "../network/support.ts";

export { quiet, until };

export const CLUSTER = "test";
export const SELF: Nid = 1;
export const MASTER: Nid = -0x0fff_ffff;
export const PARTITIONS = 2;
const MASTER_ADDRESS: Address = { host: "127.0.0.1", port: 10000 };

export const client = (n: number): Nid => -0x1fff_ffff + n - 1;
export const oid = (n: number): Oid => toOid(n);
export const tid = (n: number): Tid => toTid(n);
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const sha1 = (data: Uint8Array): Uint8Array => new Uint8Array(hash("sha1", data, "buffer"));

/** A message that a peer received. */
export interface Heard {
  readonly name: SentName;
  readonly args: Readonly<Record<string, unknown>>;
  readonly from: {
    readonly id: number;
    answer(args: object): void;
    error(code: ErrorCode, message?: string): void;
  };
}

/** One end of a connection with the storage: keeps what it receives. */
export class Peer {
  readonly heard: Heard[] = [];
  /** `undefined` while open. */
  closedWith: Error | null | undefined = undefined;
  #connection: Connection | null = null;

  attach(
    env: Environment,
    transport: ConstructorParameters<typeof Connection>[1],
    connecting: boolean,
  ): void {
    this.#connection = new Connection(env, transport, {
      connecting,
      handler: this.#handler,
      onClosed: (reason) => this.closedWith = reason,
    });
  }

  get connection(): Connection {
    assert.ok(this.#connection !== null, "nobody connected");
    return this.#connection;
  }

  get closed(): boolean {
    return this.closedWith !== undefined;
  }

  /** Names of the messages received. */
  get names(): SentName[] {
    return this.heard.map(({ name }) => name);
  }

  /** The arguments of the messages of one name. */
  all(name: SentName): Readonly<Record<string, unknown>>[] {
    return this.heard.filter((message) => message.name === name).map(({ args }) => args);
  }

  /** Forgets what was received. */
  clear(): void {
    this.heard.length = 0;
  }

  notify<N extends SentName>(name: N, args: ArgsOf<N>): void {
    this.connection.notify(name, args);
  }

  ask<N extends RequestName>(name: N, args: ArgsOf<N>): Asked<N> {
    return new Asked(this.connection, name, args);
  }

  readonly #handler: object = new Proxy({}, {
    get: (_, method) => {
      // Pings are answered by the connection.
      if (typeof method !== "string" || method === "ping") return undefined;
      const name = (method.slice(0, 1).toUpperCase() + method.slice(1)) as SentName;
      return (args: Heard["args"], from: Heard["from"]) => {
        this.heard.push({ name, args, from });
        this.onMessage(name, args, from);
      };
    },
  });

  /** What to do at once with a message. */
  onMessage: (name: SentName, args: Heard["args"], from: Heard["from"]) => void = () => {};
}

/** A request and what came of it. */
export class Asked<N extends RequestName> {
  answer: AnswerArgsOf<N> | null = null;
  error: Error | null = null;

  constructor(connection: Connection, name: N, args: ArgsOf<N>) {
    connection.request(name, args, (answer) => this.answer = answer, (error) => this.error = error);
  }

  get pending(): boolean {
    return this.answer === null && this.error === null;
  }

  /** The answer, which must have come. */
  async got(): Promise<AnswerArgsOf<N>> {
    await until(() => !this.pending, "an answer");
    if (this.answer === null) throw this.error;
    return this.answer;
  }

  /** Checks that it was refused; closed connections do not count. */
  async refused(code: ErrorCode, text: RegExp = /.*/): Promise<void> {
    await until(() => !this.pending, "an answer");
    assert.equal(this.answer, null, "it was not refused");
    assert.equal(this.error?.name, "ErrorAnswer", `${this.error}`);
    const { code: actual, message } = this.error as ErrorAnswer;
    assert.equal(ErrorCode[actual], ErrorCode[code], message);
    assert.match(message, text);
  }
}

/** The primary master. Accepts any storage; the rest is up to the test. */
export class FakeMaster extends Peer {
  readonly identifications: ArgsOf<"RequestIdentification">[] = [];
  /** Id given to the storage. */
  nid: Nid = SELF;
  /** The only answer that storages get, if any. */
  refusal: string | null = null;
  #time = 1000;
  #listener: Listener | null = null;

  constructor(readonly env: Environment) {
    super();
    this.onMessage = (name, args, from) => {
      if (name !== "RequestIdentification") return;
      this.identifications.push(args as ArgsOf<"RequestIdentification">);
      this.closedWith = undefined;
      if (this.refusal !== null) return from.error(ErrorCode.PROTOCOL_ERROR, this.refusal);
      from.answer({ type: NodeType.MASTER, nid: MASTER, yourNid: this.nid });
      this.nodes({
        type: NodeType.STORAGE,
        address: { host: "127.0.0.1", port: 1 },
        nid: this.nid,
        state: NodeState.RUNNING,
        idTimestamp: this.#time,
      });
    };
  }

  async listen(): Promise<void> {
    this.#listener = await this.env.listen(MASTER_ADDRESS, (transport) => {
      this.attach(this.env, transport, false);
    });
  }

  stop(): void {
    this.#listener?.close();
    if (this.identifications.length > 0) this.connection.close();
  }

  /** The id timestamp of the next node to be announced. */
  get nextTime(): number {
    return this.#time + 1;
  }

  nodes(...nodes: NodeDescription[]): void {
    this.notify("NotifyNodeInformation", { timestamp: ++this.#time, nodes });
  }

  /** Announces a client. Returns its id timestamp. */
  announce(nid: Nid, state = NodeState.RUNNING): number {
    const idTimestamp = this.nextTime - 0.5;
    this.nodes({ type: NodeType.CLIENT, address: null, nid, state, idTimestamp });
    return idTimestamp;
  }

  table(...states: CellState[]): void {
    this.notify("SendPartitionTable", {
      ptid: 1,
      replicas: 0,
      rows: states.map((state) => [{ nid: SELF, state }]),
    });
  }

  /** Sends and waits until everything came to rest. */
  async lock(ttid: Tid, tid: Tid, pack = false): Promise<void> {
    await this.ask("AskLockInformation", { ttid, tid, pack }).got();
  }

  unlock(ttid: Tid): void {
    this.notify("NotifyUnlockInformation", { ttid });
  }

  async commit(ttid: Tid, tid: Tid): Promise<void> {
    await this.lock(ttid, tid);
    this.unlock(ttid);
    await quiet();
  }
}

/** A client of the storage. */
export class FakeClient extends Peer {
  constructor(readonly nid: Nid) {
    super();
  }

  store(
    ttid: Tid,
    oid: Oid,
    serial: Tid,
    text: string | Uint8Array | null,
    dataSerial: Tid | null = null,
  ): Asked<"AskStoreObject"> {
    const data = typeof text === "string" ? bytes(text) : text ?? new Uint8Array(0);
    return this.ask("AskStoreObject", {
      oid,
      serial,
      compression: 0,
      checksum: text === null ? new Uint8Array(20) : sha1(data),
      data,
      dataSerial,
      ttid,
    });
  }

  check(ttid: Tid, oid: Oid, serial: Tid): Asked<"AskCheckCurrentSerial"> {
    return this.ask("AskCheckCurrentSerial", { ttid, oid, serial });
  }

  relock(ttid: Tid, oid: Oid): Asked<"AskRelockObject"> {
    return this.ask("AskRelockObject", { ttid, oid });
  }

  /** Votes with metadata. */
  vote(ttid: Tid, oids: Oid[] = [], pack: ArgsOf<"AskStoreTransaction">["pack"] = null) {
    return this.ask("AskStoreTransaction", {
      ttid,
      user: bytes("user"),
      description: bytes("description"),
      extension: bytes("extension"),
      oids,
      pack,
    });
  }

  load(oid: Oid, at: Tid | null = null, before: Tid | null = null): Asked<"AskObject"> {
    return this.ask("AskObject", { oid, at, before });
  }

  abort(ttid: Tid): void {
    this.notify("AbortTransaction", { ttid, nids: [] });
  }
}

/** Methods of a database that return nothing to wait for. */
const IMMEDIATE: readonly string[] = ["unlock", "releaseData", "isAssigned", "isReadable"];

/** A database whose answers can be held back, and that can fail. */
export class HeldDatabase {
  readonly database: Database;
  readonly #held = new Map<string, (() => void)[]>();
  readonly #calls = new Map<string, number>();
  readonly #bugs = new Set<string>();
  readonly #failure = Promise.withResolvers<DatabaseError>();
  #error: DatabaseError | null = null;

  constructor(readonly real: Database) {
    this.database = new Proxy(real, {
      get: (target, name) => {
        if (name === "failed") return this.#failure.promise;
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        const immediate = IMMEDIATE.includes(String(name));
        return (...args: unknown[]) => {
          this.#calls.set(String(name), this.calls(name as keyof Database) + 1);
          if (this.#bugs.has(String(name))) return Promise.reject(new Error("a bug"));
          if (this.#error === null || immediate || name === "close") {
            return this.#held.has(String(name))
              ? this.#wait(String(name)).then(() => Reflect.apply(value, target, args))
              : Reflect.apply(value, target, args);
          }
          return Promise.reject(this.#error);
        };
      },
    });
  }

  async #wait(name: string): Promise<void> {
    await new Promise<void>((resolve) => this.#held.get(name)?.push(resolve));
    if (this.#error !== null) throw this.#error;
  }

  /** How many times a method was called. */
  calls(name: keyof Database): number {
    return this.#calls.get(name) ?? 0;
  }

  /** From now on, a method that returns a promise is executed later. */
  hold(name: keyof Database): void {
    this.#held.set(name, []);
  }

  /** Number of calls that wait. */
  waiting(name: keyof Database): number {
    return this.#held.get(name)?.length ?? 0;
  }

  /** Executes the calls that wait, and does not hold the next ones. */
  async release(name: keyof Database): Promise<void> {
    const waiting = this.#held.get(name) ?? [];
    this.#held.delete(name);
    for (const resolve of waiting) resolve();
    await quiet();
  }

  /** From now on, a method fails in an unexpected way. */
  breakMethod(name: keyof Database): void {
    this.#bugs.add(name);
  }

  /** The database can't be used any more. */
  async fail(message: string): Promise<void> {
    this.#error = new DatabaseError(message);
    for (const name of [...this.#held.keys()]) await this.release(name as keyof Database);
    this.#failure.resolve(this.#error);
    await quiet();
  }
}

/** Everything together. */
export interface Scene extends World {
  readonly master: FakeMaster;
  readonly storage: Storage;
  readonly ended: Promise<void>;
  /** The open database. */
  readonly held: () => HeldDatabase;
  connect(nid: Nid): Promise<FakeClient>;
  /** Connects without being announced nor identified. */
  dial(nid?: Nid): Promise<FakeClient>;
  identify(
    peer: Peer,
    given?: Partial<ArgsOf<"RequestIdentification">>,
  ): Asked<"RequestIdentification">;
  stop(): Promise<void>;
}

export interface SceneOptions {
  readonly options?: Partial<StorageOptions>;
  /** Path of the database; memory by default. */
  readonly database?: string;
  /** The clock of the database; real time by default. */
  readonly now?: () => number;
  /** States of the cells of this node. */
  readonly cells?: readonly CellState[];
  /** Whether the master starts the operation. */
  readonly operational?: boolean;
  /** Whether the storage gets as far as a master. */
  readonly starts?: boolean;
  /** Id that the master gives. */
  readonly nid?: Nid;
}

/** Runs a test with a storage. */
export async function withScene(
  { options, database = ":memory:", now, cells, starts = true, operational = starts, nid = SELF }:
    SceneOptions,
  test: (scene: Scene) => Promise<void>,
): Promise<void> {
  const here = world();
  const { env, clock } = here;
  const master = new FakeMaster(env);
  master.nid = nid;
  await master.listen();
  let held: HeldDatabase | null = null;
  const stop = new AbortController();
  const storage = new Storage(env, {
    cluster: CLUSTER,
    bind: { host: "127.0.0.1", port: 0 },
    masters: [MASTER_ADDRESS],
    nid: null,
    newNid: false,
    disablePack: false,
    openDatabase: async () => {
      held = new HeldDatabase(
        await openDatabase("SQLite", {
          database,
          wait: 0,
          engine: null,
          dedup: false,
          reset: false,
          disableDropPartitions: false,
          log: () => {},
          setTimer: (callback, milliseconds) => clock.setTimer(milliseconds, callback),
          now: now ?? clock.monotonic,
        }),
      );
      return held.database;
    },
    ...options,
  });
  const ended = storage.run(stop.signal);
  ended.catch(() => {});
  const scene: Scene = {
    ...here,
    master,
    storage,
    ended,
    held: () => {
      assert.ok(held !== null, "the database is not open");
      return held;
    },
    async dial(nid = client(1)) {
      const peer = new FakeClient(nid);
      peer.attach(env, await env.connect(await storage.address), true);
      return peer;
    },
    identify(peer, given = {}) {
      return peer.ask("RequestIdentification", {
        type: NodeType.CLIENT,
        nid: client(1),
        address: null,
        cluster: CLUSTER,
        idTimestamp: null,
        extra: new Map(),
        ...given,
      });
    },
    async connect(nid) {
      const idTimestamp = master.announce(nid);
      const peer = await scene.dial(nid);
      const accepted = await scene.identify(peer, { nid, idTimestamp }).got();
      assert.deepEqual(accepted, { type: NodeType.STORAGE, nid: SELF, yourNid: nid });
      peer.connection.identified(nodeName(nid), NodeType.CLIENT);
      return peer;
    },
    async stop() {
      stop.abort(new Error("end of the test"));
      await ended;
    },
  };
  try {
    if (starts) {
      await until(() => master.identifications.length > 0, "the storage finds the master");
      master.connection.identified(nodeName(SELF), NodeType.STORAGE);
    }
    if (operational) await start(scene, cells);
    await test(scene);
  } finally {
    stop.abort(new Error("end of the test"));
    await ended.catch(() => {});
    master.stop();
  }
}

/** What a master does to make a storage operational. */
export async function start(
  { master }: Scene,
  cells: readonly CellState[] = Array(PARTITIONS).fill(CellState.UP_TO_DATE),
): Promise<void> {
  master.table(...cells);
  await master.ask("AskLastIDs", {}).got();
  master.notify("StartOperation", { backup: false });
  await until(() => master.names.includes("NotifyReady"), "the storage is ready");
  master.clear();
}

/** Commits one object: `ttid` and `tid` must be in the same partition. */
export async function commit(
  { master }: Scene,
  peer: FakeClient,
  ttid: Tid,
  oid: Oid,
  serial: Tid,
  text: string | null,
  dataSerial: Tid | null = null,
): Promise<void> {
  const stored = await peer.store(ttid, oid, serial, text, dataSerial).got();
  assert.deepEqual(stored, { conflict: null });
  await peer.vote(ttid, [oid]).got();
  await master.commit(ttid, ttid);
}

export { ZERO_OID, ZERO_TID };
