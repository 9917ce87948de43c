/**
 * The connections between this storage and others of its cluster, one for each at most.
 *
 * Each end of a connection may ask (its *client* role) and be asked (its *server* role). The end that
 * has nothing to ask any more gives up its client role after a while, and the connection ends with the
 * last role.
 *
 * @module
 */

import { Connection } from "../../network/connection.ts";
import type { CancelTimer, Environment } from "../../network/environment.ts";
import { ConnectionClosed, type Handler } from "../../network/handler.ts";
import { ConnectionLimiter } from "../../network/limiter.ts";
import type { NodeTable } from "../../node/node_table.ts";
import { NodeState, NodeType } from "../../protocol/enums.ts";
import { type Address, type Nid, nodeName } from "../../protocol/nodes.ts";
import { violation } from "../failure.ts";

/** Milliseconds that a connection is kept without anything to ask. */
export const IDLE_TIME = 100_000;
/** Milliseconds that a storage has to accept this one. */
const IDENTIFICATION_TIME = 30_000;

/** What connections to other storages depend on. */
export interface PeersContext {
  readonly env: Environment;
  readonly nodes: NodeTable;
  readonly cluster: string;
  /** This node. */
  readonly nid: Nid;
  readonly address: Address;
}

/** Another storage, as long as it is connected or about to be. */
interface Peer {
  readonly nid: Nid;
  /** What tells its present life from former ones. */
  readonly idTimestamp: number | null;
  connection: Connection | null;
  readonly ready: PromiseWithResolvers<Connection>;
  /** How many use this node's client role. */
  users: number;
  /** Whether the peer may ask. */
  server: boolean;
  cancelIdle: CancelTimer;
}

/** The storages that this one is connected to. */
export class Peers {
  readonly #context: PeersContext;
  readonly #handlerOf: (connection: Connection, nid: Nid) => Handler;
  readonly #lost: (connection: Connection) => void;
  readonly #limiter: ConnectionLimiter;
  readonly #peers = new Map<Nid, Peer>();
  readonly #stopped = new AbortController();

  /** @param lost is told about connections that are gone, whoever opened them. */
  constructor(
    context: PeersContext,
    handlerOf: (connection: Connection, nid: Nid) => Handler,
    lost: (connection: Connection) => void,
  ) {
    this.#context = context;
    this.#handlerOf = handlerOf;
    this.#lost = lost;
    this.#limiter = new ConnectionLimiter(context.env);
  }

  /**
   * The connection to a storage, which is opened if needed. It has to be released.
   *
   * @throws {Error} (a rejection) if the storage can't be reached, or refuses.
   */
  async acquire(nid: Nid): Promise<Connection> {
    let peer = this.#peers.get(nid);
    if (peer === undefined) {
      peer = this.#add(nid);
      this.#open(peer).catch((error: Error) => {
        if (peer !== undefined && peer.connection === null) this.#fail(peer, error);
      });
    }
    peer.users++;
    peer.cancelIdle();
    return await peer.ready.promise;
  }

  /** This connection, which may be lost already, is not used any more by one of those who acquired it. */
  release(nid: Nid, connection: Connection): void {
    const peer = this.#peers.get(nid);
    if (peer?.connection !== connection) return;
    peer.users--;
    const { address = null } = this.#context.nodes.get(nid) ?? {};
    // It was of use: this node may come back at once.
    if (address !== null) this.#limiter.waive(address);
    if (peer.users > 0) return;
    peer.cancelIdle = this.#context.env.setTimer(IDLE_TIME, () => {
      if (peer.server) connection.notify("CloseClient", {});
      else connection.close();
    });
  }

  #add(nid: Nid): Peer {
    const ready = Promise.withResolvers<Connection>();
    ready.promise.catch(() => {}); // Told to those who wait.
    const peer: Peer = {
      nid,
      idTimestamp: this.#context.nodes.get(nid)?.idTimestamp ?? null,
      connection: null,
      ready,
      users: 0,
      server: false,
      cancelIdle: () => {},
    };
    this.#peers.set(nid, peer);
    return peer;
  }

  async #open(peer: Peer): Promise<void> {
    const { env, nodes } = this.#context;
    const { signal } = this.#stopped;
    const node = nodes.get(peer.nid);
    if (node === undefined || node.state !== NodeState.RUNNING || node.address === null) {
      throw new Error(`${nodeName(peer.nid)} is not running`);
    }
    await this.#limiter.turn(node.address, signal);
    const transport = await env.connect(node.address, signal);
    // It may have connected to this node meanwhile.
    if (peer.connection !== null || this.#peers.get(peer.nid) !== peer || signal.aborted) {
      return transport.close();
    }
    const connection = new Connection(env, transport, {
      connecting: true,
      handler: {},
      peerName: nodeName(peer.nid),
      onClosed: () => {
        cancelTimer();
        this.disconnected(connection);
      },
    });
    const cancelTimer = env.setTimer(IDENTIFICATION_TIME, () => connection.close());
    peer.connection = connection;
    this.#identify(peer, connection, cancelTimer);
  }

  #identify(peer: Peer, connection: Connection, cancelTimer: CancelTimer): void {
    const { nodes, nid: self, address, cluster } = this.#context;
    connection.request(
      "RequestIdentification",
      {
        type: NodeType.STORAGE,
        nid: self,
        address,
        cluster,
        idTimestamp: nodes.get(self)?.idTimestamp ?? null,
        extra: new Map(),
      },
      ({ type, nid, yourNid }) => {
        cancelTimer();
        if (type !== NodeType.STORAGE || nid !== peer.nid || yourNid !== self) {
          this.#fail(
            peer,
            new Error(`it is ${nodeName(nid)} and takes this for ${nodeName(self)}`),
          );
          return connection.close();
        }
        this.#identified(peer, connection);
      },
      (error) => {
        // Not if it was replaced by a connection that the peer opened.
        if (peer.connection === connection) this.#fail(peer, error);
        connection.close();
      },
    );
  }

  #identified(peer: Peer, connection: Connection): void {
    connection.identified(nodeName(peer.nid), NodeType.STORAGE);
    connection.handler = this.#handlerOf(connection, peer.nid);
    peer.ready.resolve(connection);
  }

  #fail(peer: Peer, error: Error): void {
    peer.cancelIdle();
    if (this.#peers.get(peer.nid) === peer) this.#peers.delete(peer.nid);
    peer.ready.reject(error);
  }

  /**
   * A storage has connected to this one.
   *
   * When two connect to each other at the same time, the connection opened by the one with the greater
   * id remains.
   *
   * @throws {Refusal} if it is connected already.
   */
  accept(connection: Connection, nid: Nid): void {
    let peer = this.#peers.get(nid);
    const { idTimestamp = null } = this.#context.nodes.get(nid) ?? {};
    if (peer !== undefined && peer.idTimestamp !== idTimestamp) {
      // The loss of its former life was not noticed yet.
      const { connection: former } = peer;
      this.#fail(peer, new ConnectionClosed(`${nodeName(nid)} was restarted`));
      former?.close();
      peer = undefined;
    }
    const former = peer?.connection ?? null;
    if (former !== null && (this.#context.nid > nid || former.received)) {
      throw violation("already connected");
    }
    peer ??= this.#add(nid);
    peer.connection = connection;
    peer.server = true;
    former?.close();
    this.#identified(peer, connection);
  }

  /** The peer asks for something. */
  asked(nid: Nid, connection: Connection): void {
    const peer = this.#peers.get(nid);
    if (peer?.connection === connection) peer.server = true;
  }

  /** The peer has nothing to ask any more. */
  closeClient(nid: Nid, connection: Connection): void {
    const peer = this.#peers.get(nid);
    if (peer?.connection !== connection) return connection.close();
    peer.server = false;
    if (peer.users === 0) connection.close();
  }

  /** A connection is gone, of a storage or not. */
  disconnected(connection: Connection): void {
    this.#lost(connection);
    for (const peer of this.#peers.values()) {
      if (peer.connection !== connection) continue;
      this.#fail(peer, new ConnectionClosed(`connection to ${connection} was lost`));
      return;
    }
  }

  /** Closes everything. */
  stop(): void {
    this.#stopped.abort(new Error("the operation has ended"));
    for (const peer of [...this.#peers.values()]) {
      const { connection } = peer;
      this.#fail(peer, new Error("the operation has ended"));
      connection?.close();
    }
  }

  /** Lines for logs. */
  *dump(): Iterable<string> {
    for (const { nid, connection, users, server } of this.#peers.values()) {
      yield `storage ${nodeName(nid)} (${connection?.remote ?? "connecting"}): ` +
        `${users} users here${server ? ", asks" : ""}`;
    }
  }
}
