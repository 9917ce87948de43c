/**
 * What storage nodes tell a client, besides answers.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Handlers, Notification } from "../network/handler.ts";
import type { Oid, Tid } from "../protocol/ids.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";

/** A transaction that holds locks. */
export interface LockHolder {
  /** A storage node wants a lock back, to give it to an older transaction first. */
  relock(nid: Nid, connection: Connection, oid: Oid): void;
}

/** Messages of one storage node. */
export class StorageHandler implements Handlers<MessagesOn<"S>C">> {
  readonly #nid: Nid;
  readonly #transactions: ReadonlyMap<Tid, LockHolder>;

  /** The transactions are those of the client, by ttid. */
  constructor(nid: Nid, transactions: ReadonlyMap<Tid, LockHolder>) {
    this.#nid = nid;
    this.#transactions = transactions;
  }

  notifyDeadlock({ ttid, oid }: ArgsOf<"NotifyDeadlock">, { connection }: Notification): void {
    this.#transactions.get(ttid)?.relock(this.#nid, connection, oid);
  }
}
