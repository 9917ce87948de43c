/**
 * What clients ask of a storage.
 *
 * @module
 */

import type { Handlers, Notification, Request } from "../network/handler.ts";
import { MAX_OID, type Oid } from "../protocol/ids.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import { isIntact, isNoData } from "./checksum.ts";
import type { Client } from "./client.ts";
import { violation } from "./failure.ts";
import type { Reads } from "./reads.ts";
import type { Transactions } from "./transactions.ts";
import type { Writes } from "./writes.ts";

/** The messages of one client. */
export class ClientHandler implements Handlers<MessagesOn<"C>S">> {
  constructor(
    readonly client: Client,
    readonly reads: Reads,
    readonly writes: Writes,
    readonly transactions: Transactions,
  ) {}

  // Writing

  askStoreObject(args: ArgsOf<"AskStoreObject">, from: Request<"AskStoreObject">): void {
    checkOid(args.oid);
    checkData(args);
    this.writes.store(this.client, args, from);
  }

  askCheckCurrentSerial(
    args: ArgsOf<"AskCheckCurrentSerial">,
    from: Request<"AskCheckCurrentSerial">,
  ): void {
    checkOid(args.oid);
    this.writes.check(this.client, args, from);
  }

  askRelockObject(args: ArgsOf<"AskRelockObject">, from: Request<"AskRelockObject">): void {
    this.writes.relock(this.client, args, from);
  }

  askStoreTransaction(
    args: ArgsOf<"AskStoreTransaction">,
    from: Request<"AskStoreTransaction">,
  ): void {
    this.transactions.storeTransaction(this.client, args, from);
  }

  askVoteTransaction(
    args: ArgsOf<"AskVoteTransaction">,
    from: Request<"AskVoteTransaction">,
  ): void {
    this.transactions.voteTransaction(this.client, args, from);
  }

  abortTransaction({ ttid }: ArgsOf<"AbortTransaction">, _from: Notification): void {
    const transaction = this.transactions.find(ttid);
    if (transaction === undefined) return;
    this.transactions.checkOwner(transaction, this.client);
    this.transactions.abort(ttid, false);
  }

  // Reading

  askObject(args: ArgsOf<"AskObject">, from: Request<"AskObject">): void {
    this.reads.object(this.client, args, from);
  }

  askObjectHistory(args: ArgsOf<"AskObjectHistory">, from: Request<"AskObjectHistory">): void {
    this.reads.history(this.client, args, from);
  }

  askTransactionInformation(
    args: ArgsOf<"AskTransactionInformation">,
    from: Request<"AskTransactionInformation">,
  ): void {
    this.reads.transaction(this.client, args, from);
  }

  askTIDs(args: ArgsOf<"AskTIDs">, from: Request<"AskTIDs">): void {
    this.reads.tids(this.client, args, from);
  }

  askTIDsFrom(args: ArgsOf<"AskTIDsFrom">, from: Request<"AskTIDsFrom">): void {
    this.reads.tidsFrom(this.client, args, from);
  }

  askOIDsFrom(args: ArgsOf<"AskOIDsFrom">, from: Request<"AskOIDsFrom">): void {
    this.reads.oidsFrom(this.client, args, from);
  }

  askObjectUndoSerial(
    args: ArgsOf<"AskObjectUndoSerial">,
    from: Request<"AskObjectUndoSerial">,
  ): void {
    this.reads.undoSerials(this.client, args, from);
  }

  askFinalTID(args: ArgsOf<"AskFinalTID">, from: Request<"AskFinalTID">): void {
    this.reads.finalTid(this.client, args, from);
  }
}

function checkOid(oid: Oid): void {
  if (oid > MAX_OID) throw violation(`oid 0x${oid.toString(16)} is not below 2^63`);
}

function checkData(args: ArgsOf<"AskStoreObject">): void {
  const { compression } = args;
  if (compression !== 0 && compression !== 1) {
    throw violation(`compression must be 0 (none) or 1 (zlib), not ${compression}`);
  }
  if (!isNoData(args) && !isIntact(args)) {
    throw violation("the checksum is not the SHA-1 of the data");
  }
}
