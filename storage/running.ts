/**
 * The operation phase, as far as the master is concerned.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Command, Handlers, Notification, Request } from "../network/handler.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import type { Context } from "./context.ts";
import { answerFailure, violation } from "./failure.ts";
import { MasterHandler } from "./master_handler.ts";
import type { Operation } from "./operation.ts";

/** The primary master of an operational node. */
export class Running extends MasterHandler implements Handlers<MessagesOn<"M>S" | "M>S:running">> {
  constructor(context: Context, master: Connection, readonly operation: Operation) {
    super(context, master);
  }

  protected override work(from: Command, work: () => Promise<void>): void {
    work().catch((error) => answerFailure(this.context.env.log, from, error));
  }

  askLockInformation(
    args: ArgsOf<"AskLockInformation">,
    from: Request<"AskLockInformation">,
  ): void {
    this.operation.transactions.lock(args, from);
  }

  notifyUnlockInformation(args: ArgsOf<"NotifyUnlockInformation">, _from: Notification): void {
    this.operation.transactions.unlock(args);
  }

  startOperation({ backup }: ArgsOf<"StartOperation">, _from: Notification): void {
    throw violation(
      backup ? "backup mode is not supported yet by this storage" : "already operational",
    );
  }

  replicate({ upstream }: ArgsOf<"Replicate">, _from: Notification): void {
    throw violation(`replication from ${upstream} is not supported yet by this storage`);
  }

  checkPartition(args: ArgsOf<"CheckPartition">, _from: Notification): void {
    this.operation.replicas.check(args);
  }
}
