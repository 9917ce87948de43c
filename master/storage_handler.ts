/**
 * What storages may send while they do not operate.
 *
 * @module
 */

import type { Handlers, Request } from "../network/handler.ts";
import type { MessagesOn } from "../protocol/messages.ts";
import { QueryHandler } from "./queries.ts";

/**
 * Handles the messages of a storage outside of operation. What it sent before it learnt that operation
 * stopped comes late, and is nothing to blame it for: notifications are ignored, and requests get
 * an answer that says nothing.
 */
export class IdleStorageHandler extends QueryHandler
  implements Handlers<MessagesOn<"S>M" | "S>M:verifying" | "*>M">> {
  notifyReady(_args: unknown, _from: unknown): void {}

  askUnfinishedTransactions(_args: unknown, from: Request<"AskUnfinishedTransactions">): void {
    from.answer({ lastTid: this.cluster.transactions.ids.lastTransaction, ttids: [] });
  }

  askPackOrders(_args: unknown, from: Request<"AskPackOrders">): void {
    from.answer({ orders: [] });
  }

  notifyPackCompleted(_args: unknown, _from: unknown): void {}

  notifyReplicationDone(_args: unknown, _from: unknown): void {}

  notifyPartitionCorrupted(_args: unknown, _from: unknown): void {}
}
