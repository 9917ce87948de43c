/**
 * What the primary master tells a storage in any phase.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Command, Handlers, Notification, Request } from "../network/handler.ts";
import { CellState, ClusterState, NodeState, NodeType } from "../protocol/enums.ts";
import type { Tid } from "../protocol/ids.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import type { Context } from "./context.ts";
import { violation } from "./failure.ts";

/** The messages of the primary master that belong to no phase. */
export abstract class MasterHandler implements Handlers<MessagesOn<"M>S"> | "NotPrimaryMaster"> {
  constructor(protected readonly context: Context, protected readonly master: Connection) {}

  /** Does what takes time for a request. */
  protected abstract work(from: Command, work: () => Promise<void>): void;

  notifyNodeInformation(args: ArgsOf<"NotifyNodeInformation">, _from: Notification): void {
    const { context } = this;
    const { nodes, table, nid: self } = context;
    const changes = nodes.update(
      args,
      ({ type, nid }) => type === NodeType.STORAGE && nid !== null && table.hasNode(nid),
    );
    for (const { node } of changes) {
      if (node.type === NodeType.CLIENT && node.state !== NodeState.RUNNING && node.nid !== null) {
        context.operation?.clientGone(node.nid);
      }
    }
    if (changes.some(({ node }) => node.type === NodeType.MASTER)) {
      const masters = [...nodes.list(NodeType.MASTER)].flatMap(({ address }) => address ?? []);
      context.masters.replace(masters);
    }
    // Only what is said explicitly counts: it may cost the database.
    const told = args.nodes.find(({ type, nid }) => type === NodeType.STORAGE && nid === self);
    if (told !== undefined) context.told(told);
    context.nodesChanged();
  }

  notifyClusterInformation(
    { state }: ArgsOf<"NotifyClusterInformation">,
    _from: Notification,
  ): void {
    this.context.clusterState = state;
    this.context.env.log.info(`the cluster is ${ClusterState[state]}`);
  }

  notifyPartitionChanges(args: ArgsOf<"NotifyPartitionChanges">, _from: Notification): void {
    const { nodes, table, database, packs, operation, nid: self, watch } = this.context;
    const { ptid, replicas, cells } = args;
    if (table.ptid === null || ptid !== table.ptid + 1) {
      throw violation(`partition table ${ptid} can't follow ${table.ptid}`);
    }
    for (const { nid } of cells) nodes.ensureStorage(nid);
    table.change(args);
    watch(database.changePartitionTable(ptid, replicas, cells, false, packs.last));
    const own = cells.filter(({ nid }) => nid === self);
    operation?.replicas.changed();
    if (operation === null || own.length === 0) return;
    operation.cellsChanged(own);
    if (own.every(({ state }) => state === CellState.OUT_OF_DATE)) return;
    // The cell that was behind the others may be gone.
    watch(packs.report((id) => this.packCompleted(id), false));
  }

  /** What the master has said before is safe when it is answered: it may rely on that. */
  ping(_args: unknown, from: Request<"Ping">): void {
    this.context.watch(this.context.database.flush().then(() => from.answer({})));
  }

  stopOperation(_args: ArgsOf<"StopOperation">, _from: Notification): void {
    this.context.env.log.info("the master stops the operation");
    this.context.stopOperation();
  }

  notifyRepair({ dryRun }: ArgsOf<"NotifyRepair">, _from: Notification): void {
    this.context.repair.order(dryRun);
    this.context.operation?.background.wake();
  }

  askFinalTID({ ttid }: ArgsOf<"AskFinalTID">, from: Request<"AskFinalTID">): void {
    const { operation, database } = this.context;
    this.work(from, async () => {
      const tid = await (operation?.reads.knownFinalTid(ttid) ?? database.finalTid(ttid));
      from.answer({ tid });
    });
  }

  askPackOrders({ minId }: ArgsOf<"AskPackOrders">, from: Request<"AskPackOrders">): void {
    this.work(from, async () => {
      const orders = await this.context.database.packOrders(minId);
      from.answer({
        orders: orders.map(({ id, approved, partial, oids, packTid }) => ({
          id,
          approved,
          partial,
          oids,
          tid: packTid,
        })),
      });
    });
  }

  abortTransaction({ ttid }: ArgsOf<"AbortTransaction">, _from: Notification): void {
    this.context.operation?.finished(ttid, null);
  }

  notifyTransactionFinished(
    { ttid, tid }: ArgsOf<"NotifyTransactionFinished">,
    _from: Notification,
  ): void {
    this.context.operation?.finished(ttid, tid);
  }

  notifyPackSigned(
    { approved, rejected }: ArgsOf<"NotifyPackSigned">,
    _from: Notification,
  ): void {
    const { packs, watch, operation } = this.context;
    watch(packs.sign(approved, rejected, (id) => this.packCompleted(id)));
    operation?.packer.wake();
  }

  notPrimaryMaster({ masters }: ArgsOf<"NotPrimaryMaster">, _from: Notification): void {
    for (const master of masters) this.context.masters.learn(master);
    this.context.env.log.info(`${this.master} is not the primary master any more`);
    this.master.close();
  }

  protected packCompleted(id: Tid): void {
    this.master.notify("NotifyPackCompleted", { id });
  }
}
