/**
 * What an admin answers to `neoctl` and alike, which do not identify themselves.
 *
 * @module
 */

import {
  type Command,
  type Handlers,
  type Notification,
  Refusal,
  type Request,
} from "../network/handler.ts";
import type { Log } from "../network/log.ts";
import { ErrorCode, NodeType } from "../protocol/enums.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import type { ClusterView } from "./cluster_view.ts";
import { Forwarder } from "./forwarder.ts";
import type { Monitor } from "./monitor.ts";
import { WaitingLimit } from "./waiting_limit.ts";

/** Text of the refusal of everything while there is no primary master. */
export const NO_PRIMARY = "Not connected to a primary master.";

/**
 * Serves operators: questions about the state of the cluster are answered from what the primary master
 * told, the rest is left to the primary, also what it may not support. Nothing here depends on who
 * asks, so that all connections share one handler.
 */
export class ControlHandler
  implements Handlers<MessagesOn<"ctl>A"> | "RequestIdentification" | "FlushLog"> {
  readonly #current: () => ClusterView | null;
  readonly #monitor: Monitor;
  readonly #log: Log;
  readonly #limit = new WaitingLimit();
  readonly #forwarder = new Forwarder(() => this.#cluster().master, this.#limit);

  /** @param current the cluster as the primary master tells, `null` while there is no primary. */
  constructor(current: () => ClusterView | null, monitor: Monitor, log: Log) {
    this.#current = current;
    this.#monitor = monitor;
    this.#log = log;
  }

  /** @throws {Refusal} while there is no primary master. */
  #cluster(): ClusterView {
    const view = this.#current();
    // After an abort the connection lingers: what would be sent is lost for sure.
    if (view === null || !view.master.open) throw new Refusal(ErrorCode.NOT_READY, NO_PRIMARY);
    return view;
  }

  // Answered here

  askClusterState(_: ArgsOf<"AskClusterState">, from: Request<"AskClusterState">): void {
    from.answer({ state: this.#cluster().state });
  }

  askPrimary(_: ArgsOf<"AskPrimary">, from: Request<"AskPrimary">): void {
    from.answer({ nid: this.#cluster().primary });
  }

  askNodeList({ type }: ArgsOf<"AskNodeList">, from: Request<"AskNodeList">): void {
    const nodes = this.#cluster().nodes.list(type ?? undefined);
    from.answer({ nodes: [...nodes].map((node) => node.describe()) });
  }

  askPartitionList(
    { min, max }: ArgsOf<"AskPartitionList">,
    from: Request<"AskPartitionList">,
  ): void {
    const { ptid, replicas, partitions, rows } = this.#cluster().partitionTable;
    const end = max === 0 ? partitions : max;
    if (min <= end && end <= partitions) {
      from.answer({ ptid, replicas, rows: rows.slice(min, end) });
      return;
    }
    // Not a Refusal: this mistake does not cost the connection.
    from.error(
      ErrorCode.PROTOCOL_ERROR,
      `invalid partition table offset: there are ${partitions} partitions, from ${min} to ${end} ` +
        "(excluded) were asked",
    );
  }

  askMonitorInformation(
    _: ArgsOf<"AskMonitorInformation">,
    from: Request<"AskMonitorInformation">,
  ): void {
    const view = this.#cluster();
    const done = this.#limit.wait(from.connection);
    this.#monitor.report(view, (report) => {
      if (report !== null) from.answer(report);
      else {
        from.error(ErrorCode.NOT_READY, NO_PRIMARY);
        from.connection.abort();
      }
      done();
    });
  }

  requestIdentification({ type, cluster }: ArgsOf<"RequestIdentification">): void {
    this.#cluster();
    throw new Refusal(
      ErrorCode.PROTOCOL_ERROR,
      type === NodeType.ADMIN
        ? `this admin monitors no backup cluster named '${cluster}'`
        : "this is an admin, which only accepts admins of backup clusters",
    );
  }

  flushLog(_: ArgsOf<"FlushLog">, _from: Notification): void {
    this.#log.flush();
    this.#cluster().master.notify("FlushLog", {});
  }

  // Answered by the primary master

  askRecovery(args: ArgsOf<"AskRecovery">, from: Request<"AskRecovery">): void {
    this.#forwarder.request("AskRecovery", args, from);
  }

  askLastIDs(args: ArgsOf<"AskLastIDs">, from: Request<"AskLastIDs">): void {
    this.#forwarder.request("AskLastIDs", args, from);
  }

  askLastTransaction(
    args: ArgsOf<"AskLastTransaction">,
    from: Request<"AskLastTransaction">,
  ): void {
    this.#forwarder.request("AskLastTransaction", args, from);
  }

  tweakPartitionTable(
    args: ArgsOf<"TweakPartitionTable">,
    from: Request<"TweakPartitionTable">,
  ): void {
    this.#forwarder.request("TweakPartitionTable", args, from);
  }

  setClusterState(args: ArgsOf<"SetClusterState">, from: Command): void {
    this.#forwarder.command("SetClusterState", args, from);
  }

  setNodeState(args: ArgsOf<"SetNodeState">, from: Command): void {
    this.#forwarder.command("SetNodeState", args, from);
  }

  addPendingNodes(args: ArgsOf<"AddPendingNodes">, from: Command): void {
    this.#forwarder.command("AddPendingNodes", args, from);
  }

  setNumReplicas(args: ArgsOf<"SetNumReplicas">, from: Command): void {
    this.#forwarder.command("SetNumReplicas", args, from);
  }

  checkReplicas(args: ArgsOf<"CheckReplicas">, from: Command): void {
    this.#forwarder.command("CheckReplicas", args, from);
  }

  repair(args: ArgsOf<"Repair">, from: Command): void {
    this.#forwarder.command("Repair", args, from);
  }

  truncate(args: ArgsOf<"Truncate">, from: Command): void {
    this.#forwarder.command("Truncate", args, from);
  }
}
