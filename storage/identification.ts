/**
 * Peers introduce themselves.
 *
 * A storage believes what the master says about nodes. As the master tells storages and the node
 * itself at the same time, a peer may come before the news about it: it has to wait for them.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import { type Handlers, Refusal, type Request } from "../network/handler.ts";
import type { Log } from "../network/log.ts";
import { ErrorCode, NodeType } from "../protocol/enums.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import { nodeName } from "../protocol/nodes.ts";
import type { Context } from "./context.ts";
import { answerFailure, violation } from "./failure.ts";

type Args = ArgsOf<"RequestIdentification">;
type From = Request<"RequestIdentification">;

/** Where peers arrive. */
export interface Door {
  readonly log: Log;
  readonly cluster: string;
  /** The node as it is now, `null` while it has no database. */
  readonly context: () => Context | null;
  /** A peer has to wait. */
  hold(connection: Connection): void;
}

/** The messages of peers that are not identified. */
export class Identification implements Handlers<MessagesOn<"?>S">> {
  /** Those who wait for news of the master. */
  readonly #delayed = new Map<Connection, { readonly args: Args; readonly from: From }>();

  constructor(readonly door: Door) {}

  /** Number of peers that wait. */
  get waiting(): number {
    return this.#delayed.size;
  }

  requestIdentification(args: Args, from: From): void {
    const { connection } = from;
    if (this.#delayed.has(connection)) throw violation("identification is in progress already");
    if (this.#identify(args, from)) return;
    this.door.hold(connection);
    this.#delayed.set(connection, { args, from });
  }

  /** There are news from the master. */
  retry(): void {
    for (const [connection, { args, from }] of [...this.#delayed]) {
      try {
        if (this.#identify(args, from)) this.#delayed.delete(connection);
      } catch (error) {
        this.#delayed.delete(connection);
        answerFailure(this.door.log, from, error);
      }
    }
  }

  /** A connection is gone. */
  closed(connection: Connection): void {
    this.#delayed.delete(connection);
  }

  /**
   * Accepts a peer. Returns false if it has to wait.
   *
   * @throws {Refusal} if it is refused.
   */
  #identify({ type, nid, cluster, idTimestamp }: Args, from: From): boolean {
    const { connection } = from;
    const context = this.door.context();
    if (cluster !== this.door.cluster) {
      throw violation(`invalid cluster name: this is '${this.door.cluster}', not '${cluster}'`);
    }
    const operation = context?.operation ?? null;
    if (context === null || operation === null) {
      throw new Refusal(ErrorCode.NOT_READY, "this storage is not operational");
    }
    if (nid === null) {
      throw violation(
        type === NodeType.STORAGE
          ? "storages of other clusters can't be served: backup clusters are not supported yet"
          : "a node id is expected",
      );
    }
    if (nid === context.nid) throw violation(`${nodeName(nid)} is this node itself`);
    const node = context.nodes.get(nid);
    if (node === undefined || node.idTimestamp === null || node.idTimestamp !== idTimestamp) {
      if (idTimestamp !== null && idTimestamp > context.nodes.timestamp) return false;
      throw new Refusal(ErrorCode.NOT_READY, "unknown by master");
    }
    if (node.type !== type || (type !== NodeType.CLIENT && type !== NodeType.STORAGE)) {
      throw violation(`a ${NodeType[type]} has no business with a storage as ${nodeName(nid)}`);
    }
    if (type === NodeType.STORAGE) operation.replicas.accept(connection, nid);
    else {
      connection.identified(nodeName(nid), type);
      connection.handler = operation.connect(connection, nid);
    }
    from.answer({ type: NodeType.STORAGE, nid: context.nid, yourNid: nid });
    return true;
  }
}
