/**
 * What storages send each other, whichever of them opened the connection.
 *
 * @module
 */

import type { Connection } from "../../network/connection.ts";
import type { Handlers, Notification, Request } from "../../network/handler.ts";
import type { ArgsOf, MessagesOn } from "../../protocol/messages.ts";
import type { Nid } from "../../protocol/nodes.ts";
import type { Feed } from "./feed.ts";
import type { Feeder } from "./feeder.ts";
import type { Peers } from "./peers.ts";
import type { Ranges } from "./ranges.ts";
import type { Replicator } from "./replicator.ts";

/** The messages of one storage. */
export class StorageHandler implements Handlers<MessagesOn<"S>S">> {
  constructor(
    readonly connection: Connection,
    readonly nid: Nid,
    readonly peers: Peers,
    readonly feed: Feed,
    readonly feeder: Feeder,
    readonly ranges: Ranges,
    readonly replicator: Replicator,
  ) {}

  askFetchTransactions(
    args: ArgsOf<"AskFetchTransactions">,
    from: Request<"AskFetchTransactions">,
  ): void {
    this.peers.asked(this.nid, this.connection);
    this.feeder.fetchTransactions(this.feed, args, from);
  }

  askFetchObjects(args: ArgsOf<"AskFetchObjects">, from: Request<"AskFetchObjects">): void {
    this.peers.asked(this.nid, this.connection);
    this.feeder.fetchObjects(this.feed, args, from);
  }

  addTransaction(args: ArgsOf<"AddTransaction">, { id }: Notification): void {
    const { fetch } = this.replicator;
    if (fetch?.expects(this.connection, id)) fetch.addTransaction(args);
  }

  addObject(args: ArgsOf<"AddObject">, { id }: Notification): void {
    const { fetch } = this.replicator;
    if (fetch?.expects(this.connection, id)) fetch.addObject(args);
  }

  askCheckTIDRange(args: ArgsOf<"AskCheckTIDRange">, from: Request<"AskCheckTIDRange">): void {
    this.peers.asked(this.nid, this.connection);
    this.ranges.checkTids(this.feed, args, from);
  }

  askCheckSerialRange(
    args: ArgsOf<"AskCheckSerialRange">,
    from: Request<"AskCheckSerialRange">,
  ): void {
    this.peers.asked(this.nid, this.connection);
    this.ranges.checkSerials(this.feed, args, from);
  }

  closeClient(_args: ArgsOf<"CloseClient">, _from: Notification): void {
    this.peers.closeClient(this.nid, this.connection);
  }
}
