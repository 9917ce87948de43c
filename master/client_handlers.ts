/**
 * What clients send.
 *
 * @module
 */

import { type Command, type Handlers, Refusal, type Request } from "../network/handler.ts";
import type { Node } from "../node/node_table.ts";
import { ErrorCode } from "../protocol/enums.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import type { Cluster } from "./cluster.ts";
import { QueryHandler } from "./queries.ts";

/** Handles the messages of a client. */
export class ClientHandler extends QueryHandler implements Handlers<MessagesOn<"C>M" | "*>M">> {
  constructor(cluster: Cluster, protected readonly client: Node) {
    super(cluster);
  }

  askBeginTransaction(
    { tid }: ArgsOf<"AskBeginTransaction">,
    from: Request<"AskBeginTransaction">,
  ): void {
    this.cluster.transactions.begin(this.client, tid, from);
  }

  askNewOIDs({ count }: ArgsOf<"AskNewOIDs">, from: Request<"AskNewOIDs">): void {
    from.answer({ oids: this.cluster.transactions.ids.newOids(count) });
  }

  failedVote(args: ArgsOf<"FailedVote">, from: Command): void {
    this.cluster.transactions.failedVote(this.client, args, from);
  }

  askFinishTransaction(
    args: ArgsOf<"AskFinishTransaction">,
    from: Request<"AskFinishTransaction">,
  ): void {
    this.cluster.transactions.finish(this.client, args, from);
  }

  abortTransaction(args: ArgsOf<"AbortTransaction">, _from: unknown): void {
    this.cluster.transactions.abort(this.client, args);
  }

  askFinalTID({ ttid }: ArgsOf<"AskFinalTID">, from: Request<"AskFinalTID">): void {
    this.cluster.transactions.finalTid(ttid, from);
  }

  askPackOrders({ minId }: ArgsOf<"AskPackOrders">, from: Request<"AskPackOrders">): void {
    this.cluster.packs.answerClient(minId, from);
  }

  waitForPack({ id }: ArgsOf<"WaitForPack">, from: Request<"WaitForPack">): void {
    this.cluster.packs.wait(id, from);
  }
}

/** Handles the messages of a client that asked not to write. */
export class ReadOnlyClientHandler extends ClientHandler {
  override askBeginTransaction(): void {
    this.#refuse();
  }

  override askNewOIDs(): void {
    this.#refuse();
  }

  override failedVote(): void {
    this.#refuse();
  }

  override askFinishTransaction(): void {
    this.#refuse();
  }

  override abortTransaction(): void {
    this.#refuse();
  }

  override askFinalTID(): void {
    this.#refuse();
  }

  #refuse(): never {
    const text = "this client asked for read-only access when it connected";
    throw new Refusal(ErrorCode.READ_ONLY_ACCESS, text);
  }
}
