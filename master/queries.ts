/**
 * Questions that any identified node may ask.
 *
 * @module
 */

import type { Handlers, Request } from "../network/handler.ts";
import type { MessagesOn } from "../protocol/messages.ts";
import type { Cluster } from "./cluster.ts";

/** Handles what any identified node may send. */
export class QueryHandler implements Handlers<MessagesOn<"*>M">> {
  constructor(protected readonly cluster: Cluster) {}

  askClusterState(_args: unknown, from: Request<"AskClusterState">): void {
    from.answer({ state: this.cluster.state });
  }

  askRecovery(_args: unknown, from: Request<"AskRecovery">): void {
    const { table, truncateTid } = this.cluster;
    from.answer({ ptid: table.ptid, backupTid: null, truncateTid });
  }

  askLastIDs(_args: unknown, from: Request<"AskLastIDs">): void {
    const { lastTransaction, lastOid, firstTid } = this.cluster.transactions.ids;
    from.answer({ lastTid: lastTransaction, lastOid, firstTid });
  }

  askLastTransaction(_args: unknown, from: Request<"AskLastTransaction">): void {
    from.answer({ tid: this.cluster.transactions.ids.lastTransaction });
  }
}
