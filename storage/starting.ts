/**
 * The initialization phase: the master finds out what the node has, and makes it consistent.
 *
 * The master asks one thing after the other and relies on the order of the answers, so that nothing
 * more is read while the database works.
 *
 * @module
 */

import type { Command, Handlers, Notification, Request } from "../network/handler.ts";
import { hexId } from "../protocol/ids.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import type { SavedCell } from "./database/database.ts";
import { answerFailure, violation } from "./failure.ts";
import { MasterHandler } from "./master_handler.ts";

/** The primary master before the operation. */
export class Starting extends MasterHandler
  implements Handlers<MessagesOn<"M>S" | "M>S:starting">> {
  protected override work(from: Command, work: () => Promise<void>): void {
    const { master, context: { env } } = this;
    master.pause();
    work().catch((error) => answerFailure(env.log, from, error)).then(() => master.resume());
  }

  askRecovery(_args: ArgsOf<"AskRecovery">, from: Request<"AskRecovery">): void {
    const { table: { ptid }, database } = this.context;
    // What it says is waited for by the master, even if it dies meanwhile: it must not forget it.
    this.work(from, async () => {
      await database.flush();
      const { backupTid, truncateTid } = database;
      from.answer({ ptid, backupTid, truncateTid });
    });
  }

  askPartitionTable(
    _args: ArgsOf<"AskPartitionTable">,
    from: Request<"AskPartitionTable">,
  ): void {
    const { ptid, replicas, rows } = this.context.table;
    from.answer({ ptid, replicas, rows });
  }

  sendPartitionTable(args: ArgsOf<"SendPartitionTable">, _from: Notification): void {
    const { nodes, table, database, packs, watch } = this.context;
    const { ptid, replicas, rows } = args;
    if (ptid === null || rows.length === 0 || rows.some((row) => row.length === 0)) {
      throw violation("a storage needs a partition table where each partition has a cell");
    }
    table.load(args);
    const cells: SavedCell[] = [];
    for (const [partition, row] of rows.entries()) {
      for (const { nid, state } of row) {
        nodes.ensureStorage(nid);
        cells.push({ partition, nid, state });
      }
    }
    watch(database.changePartitionTable(ptid, replicas, cells, true, packs.last));
  }

  truncate({ tid }: ArgsOf<"Truncate">, _from: Command): void {
    // Not answered: from a master it is a notification. The work is done with `AskLastIDs`.
    const { database, env: { log }, watch } = this.context;
    log.info(`everything after ${hexId(tid)} will be deleted`);
    if (database.backupTid !== null) watch(database.setBackupTid(null));
    watch(database.setTruncateTid(tid));
  }

  askLockedTransactions(
    _args: ArgsOf<"AskLockedTransactions">,
    from: Request<"AskLockedTransactions">,
  ): void {
    this.work(from, async () => {
      from.answer({ transactions: await this.context.database.lockedTransactions() });
    });
  }

  validateTransaction(
    { ttid, tid }: ArgsOf<"ValidateTransaction">,
    _from: Notification,
  ): void {
    const { database, watch } = this.context;
    watch(database.validate(ttid, tid));
  }

  askLastIDs(_args: ArgsOf<"AskLastIDs">, from: Request<"AskLastIDs">): void {
    const { database, packs, env: { log } } = this.context;
    this.work(from, async () => {
      const { truncateTid } = database;
      if (truncateTid !== null) {
        log.info(`deleting everything after ${hexId(truncateTid)}`);
        await database.truncate();
      }
      await packs.report((id) => this.packCompleted(id), true);
      from.answer(await database.lastIds());
    });
  }

  startOperation({ backup }: ArgsOf<"StartOperation">, _from: Notification): void {
    if (backup) throw violation("backup mode is not supported yet by this storage");
    if (this.context.table.ptid === null) throw violation("there is no partition table yet");
    const { context, master } = this;
    const { database, env: { log }, watch } = context;
    const { truncateTid } = database;
    if (truncateTid === null) return context.startOperation();
    // This node was away when the others truncated. They may have gone on, and this node is to
    // replicate that: what it has after the truncation is another history.
    log.warning(`deleting everything after ${hexId(truncateTid)}, as was ordered before`);
    master.pause();
    watch(
      database.truncate().then(() => {
        // Another master decides anew.
        if (master.open) context.startOperation();
      }).finally(() => master.resume()),
    );
  }
}
