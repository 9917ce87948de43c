/**
 * What the primary master tells a client.
 *
 * @module
 */

import type { Handlers, Notification } from "../network/handler.ts";
import type { Log } from "../network/log.ts";
import { ClusterState, ErrorCode, NodeType } from "../protocol/enums.ts";
import { Refusal } from "../network/handler.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import type { NodeChange } from "../node/node_table.ts";
import type { Session } from "./session.ts";
import type { View } from "./view.ts";

/** Messages of the primary master. Each changes the state of the client at once. */
export class PrimaryHandler implements Handlers<MessagesOn<"M>C"> | "NotPrimaryMaster"> {
  readonly #session: Session;
  readonly #view: View;
  readonly #onNodeChange: (change: NodeChange) => void;
  readonly #log: Log;

  constructor(
    session: Session,
    view: View,
    log: Log,
    onNodeChange: (change: NodeChange) => void,
  ) {
    this.#session = session;
    this.#view = view;
    this.#log = log;
    this.#onNodeChange = onNodeChange;
  }

  notifyNodeInformation(args: ArgsOf<"NotifyNodeInformation">): void {
    const { nodes, table, nid } = this.#session;
    const changes = nodes.update(
      args,
      (node) =>
        node.nid !== null &&
        (node.nid === nid || (node.type === NodeType.STORAGE && table.hasNode(node.nid))),
    );
    for (const change of changes) this.#onNodeChange(change);
  }

  sendPartitionTable(args: ArgsOf<"SendPartitionTable">): void {
    this.#session.table.load(args);
  }

  notifyPartitionChanges(args: ArgsOf<"NotifyPartitionChanges">): void {
    this.#session.table.change(args);
  }

  invalidateObjects({ tid, oids }: ArgsOf<"InvalidateObjects">): void {
    if (this.#session.live) this.#view.invalidated(tid, oids);
  }

  notifyClusterInformation({ state }: ArgsOf<"NotifyClusterInformation">): void {
    this.#log.info(`the cluster is ${ClusterState[state]}`);
  }

  stopOperation(): void {
    this.#log.info("the cluster stops");
  }

  notPrimaryMaster(_: ArgsOf<"NotPrimaryMaster">, { connection }: Notification): void {
    if (!connection.open) return;
    throw new Refusal(ErrorCode.PROTOCOL_ERROR, "a master that accepted a client stays primary");
  }
}
