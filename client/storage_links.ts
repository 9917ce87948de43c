/**
 * Connections to storage nodes: one for each node that is needed, opened when it is.
 *
 * @module
 */

import { Connection } from "../network/connection.ts";
import type { CancelTimer, Environment } from "../network/environment.ts";
import { ConnectionLimiter } from "../network/limiter.ts";
import { errorText } from "../network/log.ts";
import type { NodeChange } from "../node/node_table.ts";
import { NodeState, NodeType } from "../protocol/enums.ts";
import type { Tid } from "../protocol/ids.ts";
import { type Address, type Nid, nodeName, sameAddress } from "../protocol/nodes.ts";
import type { PrimaryLink } from "./primary_link.ts";
import type { Session } from "./session.ts";
import { type LockHolder, StorageHandler } from "./storage_handler.ts";
import { abortable } from "./waiting.ts";

/** Milliseconds during which reads avoid a node that could not be reached. */
export const FAILURE_MEMORY = 600_000;
/** Milliseconds without use after which a connection is closed. */
export const IDLE_TIME = 600_000;
/** Milliseconds a node has to accept this client. It may have to wait for the master to tell about it. */
const IDENTIFICATION_TIME = 60_000;

/** An attempt to connect, with the identity of a session. */
interface Attempt {
  readonly session: Session;
  readonly outcome: Promise<Connection | null>;
}

/** What is known of one storage node. */
class StorageLink {
  connection: Connection | null = null;
  connecting: Attempt | null = null;
  /** The connection of that attempt, not identified yet. */
  opening: Connection | null = null;
  /** Until when reads avoid the node. */
  excludedUntil = 0;
  address: Address | null = null;
  /** Transactions that need this very connection. */
  users = 0;
  used = true;
  cancelIdle: CancelTimer | null = null;
}

/** The storage nodes, by id. */
export class StorageLinks {
  readonly #env: Environment;
  readonly #primary: PrimaryLink;
  readonly #cluster: string;
  readonly #transactions: ReadonlyMap<Tid, LockHolder>;
  readonly #limiter: ConnectionLimiter;
  readonly #links = new Map<Nid, StorageLink>();
  readonly #closing = new AbortController();

  constructor(
    env: Environment,
    primary: PrimaryLink,
    cluster: string,
    transactions: ReadonlyMap<Tid, LockHolder>,
  ) {
    this.#env = env;
    this.#primary = primary;
    this.#cluster = cluster;
    this.#transactions = transactions;
    this.#limiter = new ConnectionLimiter(env);
  }

  /** The open connection with a node. */
  get(nid: Nid): Connection | null {
    const link = this.#links.get(nid);
    if (link === undefined || link.connection === null || !link.connection.open) return null;
    link.used = true;
    return link.connection;
  }

  /** Until when reads avoid a node, 0 if they need not. On the monotonic clock. */
  excludedUntil(nid: Nid): number {
    const link = this.#links.get(nid);
    if (link === undefined || link.excludedUntil <= this.#env.monotonic()) return 0;
    return link.excludedUntil;
  }

  /**
   * Opens a connection if needed. `null` if the node is not running or can't be reached.
   *
   * @throws the signal's reason.
   */
  async connect(nid: Nid, session: Session, signal?: AbortSignal): Promise<Connection | null> {
    const link = this.#link(nid);
    for (;;) {
      const connection = this.get(nid);
      if (connection !== null) return connection;
      link.connecting ??= {
        session,
        outcome: this.#open(nid, link, session).finally(() => link.connecting = null),
      };
      const { outcome, session: own } = link.connecting;
      const opened = await abortable(outcome, signal);
      if (own === session) return opened;
    }
  }

  /** Keeps the connection of a node open until as many calls of `release`. */
  retain(nid: Nid): void {
    this.#link(nid).users++;
  }

  release(nid: Nid): void {
    const link = this.#link(nid);
    link.users--;
    link.used = true;
  }

  /** Closes what was opened with another identity: storage nodes do not accept it any more. */
  reset(): void {
    for (const { connection, opening } of [...this.#links.values()]) {
      connection?.close();
      opening?.close();
    }
  }

  /** A node was added, changed or removed by the master. */
  nodeChanged({ node, previous }: NodeChange): void {
    const { nid, address } = node;
    if (node.type !== NodeType.STORAGE || nid === null) return;
    const link = this.#links.get(nid);
    if (link === undefined) return;
    if (node.state !== NodeState.RUNNING) {
      link.connection?.close();
      link.opening?.close();
    } else if (previous !== NodeState.RUNNING || !sameAddress(address, link.address)) {
      // It is back.
      link.excludedUntil = 0;
      if (address !== null) this.#limiter.waive(address);
    }
  }

  close(): void {
    this.#closing.abort(new Error("the client is closed"));
    this.reset();
  }

  #link(nid: Nid): StorageLink {
    let link = this.#links.get(nid);
    if (link === undefined) this.#links.set(nid, link = new StorageLink());
    return link;
  }

  /** The address of a node that may be connected to. */
  #target(nid: Nid, session: Session): Address | null {
    if (!session.open || this.#closing.signal.aborted) return null;
    const node = this.#primary.nodes.get(nid);
    return node?.state === NodeState.RUNNING ? node.address : null;
  }

  /** When a node was identified by the master: another time, another process. */
  #life(nid: Nid): number | null {
    return this.#primary.nodes.get(nid)?.idTimestamp ?? null;
  }

  async #open(nid: Nid, link: StorageLink, session: Session): Promise<Connection | null> {
    const address = this.#target(nid, session);
    if (address === null) return null;
    link.address = address;
    const life = this.#life(nid);
    try {
      await this.#limiter.turn(address, this.#closing.signal);
      if (!sameAddress(this.#target(nid, session), address)) return null;
      const connection = await this.#identify(nid, link, address, session);
      link.excludedUntil = 0;
      return connection;
    } catch (error) {
      // Nobody is to blame if this client is not known any more, nor the node for what was before its
      // restart.
      if (this.#target(nid, session) !== null && this.#life(nid) === life) {
        link.excludedUntil = this.#env.monotonic() + FAILURE_MEMORY;
        this.#env.log.info(`can't connect to ${nodeName(nid)}: ${errorText(error)}`);
      }
      return null;
    }
  }

  async #identify(
    nid: Nid,
    link: StorageLink,
    address: Address,
    session: Session,
  ): Promise<Connection> {
    const transport = await this.#env.connect(address, this.#closing.signal);
    if (this.#target(nid, session) === null) {
      transport.close();
      throw new Error("it is not wanted any more");
    }
    return await new Promise((resolve, reject) => {
      const connection: Connection = new Connection(this.#env, transport, {
        connecting: true,
        handler: {},
        peerName: nodeName(nid),
        onClosed: () => {
          if (link.connection !== connection) return;
          link.connection = null;
          link.cancelIdle?.();
        },
      });
      link.opening = connection;
      const cancel = this.#env.setTimer(
        IDENTIFICATION_TIME,
        () => refuse(new Error("it does not answer")),
      );
      const refuse = (error: Error) => {
        cancel();
        link.opening = null;
        connection.close();
        reject(error);
      };
      connection.request(
        "RequestIdentification",
        {
          type: NodeType.CLIENT,
          nid: session.nid,
          address: null,
          cluster: this.#cluster,
          idTimestamp: session.idTimestamp,
          extra: new Map(),
        },
        (answer) => {
          if (answer.type !== NodeType.STORAGE || answer.nid !== nid) {
            refuse(new Error(`expected ${nodeName(nid)}, found ${nodeName(answer.nid)}`));
          } else if (answer.yourNid !== null && answer.yourNid !== session.nid) {
            refuse(new Error(`it takes this client for ${nodeName(answer.yourNid)}`));
          } else if (this.#target(nid, session) === null) {
            refuse(new Error("the primary master was lost, or says that the node stopped"));
          } else {
            cancel();
            link.opening = null;
            connection.identified(nodeName(nid), NodeType.STORAGE);
            connection.handler = new StorageHandler(nid, this.#transactions);
            link.connection = connection;
            this.#watch(link, connection);
            resolve(connection);
          }
        },
        refuse,
      );
    });
  }

  #watch(link: StorageLink, connection: Connection): void {
    link.cancelIdle = this.#env.setTimer(IDLE_TIME, () => {
      const busy = link.used || link.users > 0 || connection.pendingRequests > 0;
      if (!busy) return connection.close();
      link.used = false;
      this.#watch(link, connection);
    });
  }
}
